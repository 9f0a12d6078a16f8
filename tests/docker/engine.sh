#!/usr/bin/env bash
# A Docker engine of our own, with its own data, socket and process ids, for tests and CI.
#
#   tests/docker/engine.sh start DIR [OPTION...]    starts it, with more options of dockerd's (again:
#                                                   says where it is); prints DOCKER_HOST=unix://...
#   tests/docker/engine.sh stop DIR                 stops it and its containers, and removes DIR
#
# Needs root and dockerd (Debian: apt-get install docker.io). No default bridge and no firewall
# rules, so that it also runs inside a container and beside another engine: replicas are reached
# at their container address on a network of their own, which needs neither.
set -euo pipefail

usage="usage: $0 start DIR [OPTION...] | stop DIR"
action=${1:?$usage}
dir=${2:?$usage}
options=("${@:3}")

say() { echo "engine.sh: $*" >&2; }

alive() { [[ -s $dir/dockerd.pid ]] && [[ $(ps -o comm= -p "$(<"$dir/dockerd.pid")") == dockerd ]]; }

answers() { [[ $(curl -fsS --max-time 2 --unix-socket "$socket" http://engine/_ping 2>/dev/null) == OK ]]; }

# A containerd whose dockerd was killed stands in the next one's way until it has gone.
end_left_containerd() {
    local pid
    pid=$(cat "$dir/exec/containerd/containerd.pid" 2>/dev/null) || return 0
    [[ $(ps -o comm= -p "$pid") == containerd ]] || return 0
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
}

start() {
    command -v dockerd >/dev/null || { say "dockerd is not installed (Debian: apt-get install docker.io)"; exit 1; }
    [[ $(id -u) == 0 ]] || { say "dockerd needs root"; exit 1; }
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    socket=$dir/docker.sock
    # The name of a Unix socket ends at 107 bytes; containerd adds some of its own below DIR.
    (( ${#dir} <= 70 )) || { say "the folder's path is too long for sockets: $dir"; exit 1; }
    if alive && answers; then
        echo "DOCKER_HOST=unix://$socket"
        return
    fi
    end_left_containerd
    rm -f "$dir/dockerd.pid" "$socket"
    setsid dockerd --host "unix://$socket" --pidfile "$dir/dockerd.pid" \
        --data-root "$dir/data" --exec-root "$dir/exec" \
        --bridge=none --iptables=false --ip-masq=false "${options[@]}" \
        </dev/null >"$dir/dockerd.log" 2>&1 &
    local started=$!
    for _ in $(seq 300); do
        if answers; then
            echo "DOCKER_HOST=unix://$socket"
            return
        fi
        kill -0 "$started" 2>/dev/null || break
        sleep 0.1
    done
    say "dockerd did not start; the end of its log:"
    tail -n 20 "$dir/dockerd.log" >&2
    kill "$started" 2>/dev/null || true
    exit 1
}

stop() {
    [[ -d $dir ]] || return 0
    dir=$(cd "$dir" && pwd)
    # A killed engine leaves its containers running; only an engine can end them properly.
    alive || [[ ! -d $dir/data ]] || start >/dev/null
    if alive; then
        local pid
        pid=$(<"$dir/dockerd.pid")
        kill "$pid"
        for _ in $(seq 300); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
    fi
    end_left_containerd
    local shim
    for shim in $(pgrep -f -- "-address $dir/exec/containerd/containerd.sock"); do
        kill -9 $(pgrep -P "$shim") "$shim" 2>/dev/null || true
    done
    # What a killed engine leaves mounted.
    awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do
        umount -l "$mounted" || true
    done
    rm -rf --one-file-system "$dir"
}

case $action in
    start) start ;;
    stop) stop ;;
    *) say "$usage"; exit 2 ;;
esac
