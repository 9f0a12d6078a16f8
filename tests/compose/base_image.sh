#!/usr/bin/env bash
# Makes the root file system of a small Debian with Python, to build our image on where no registry
# can be reached: tests/compose/base_image.sh FILE.tar
#
# Needs root and debootstrap; takes packages from where this machine's apt takes them.
set -euo pipefail

tar=${1:?usage: $0 FILE.tar}
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
    awk -v release="$codename" '$2 == release { print $1; exit }')

if ! debootstrap --variant=minbase --include=python3-venv "$codename" "$work/tree" "$mirror" \
    >"$work/log" 2>&1; then
    tail -n 20 "$work/log" "$work/tree/debootstrap/debootstrap.log" >&2 || true
    exit 1
fi
tar --create --numeric-owner --file "$work/tree.tar" --directory "$work/tree" \
    --exclude './var/cache/apt/*' --exclude './var/lib/apt/lists/*' --exclude './dev/*' \
    --exclude './usr/share/doc/*' --exclude './usr/share/locale/*' --exclude './proc/*' .
mkdir -p "$(dirname "$tar")"
mv "$work/tree.tar" "$tar.new" && mv "$tar.new" "$tar"
