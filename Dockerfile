# One image for every process of Tallyport; docker-compose.yml says which process a container is.
#
# Where no package index can be reached, lay the wheels beside it first and build with
# `--build-arg PIP_NO_INDEX=1`:
#   pip download --no-deps --require-hashes -r requirements-image.lock -d wheelhouse
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_NO_INDEX=
ARG PIP_FIND_LINKS=/wheelhouse
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-image.lock wheelhous[e]/* /wheelhouse/
RUN python3 -m venv /opt/tallyport \
    && /opt/tallyport/bin/pip install --no-cache-dir --no-deps --require-hashes \
        -r /wheelhouse/requirements-image.lock
COPY . /src
# Pages that were built outside come along; others are built here, by a Node from the package index.
RUN python3 -m venv /opt/node \
    && /opt/node/bin/python /src/bin/_build_dashboard.py /src/dashboard
RUN /opt/tallyport/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src \
    && /opt/tallyport/bin/pip uninstall --yes setuptools pip

FROM ${BASE_IMAGE}
# Volumes mounted on these folders begin with their owner.
RUN useradd --uid 10001 --create-home --home-dir /var/lib/tallyport tallyport \
    && install --directory --owner tallyport --mode 0700 \
        /var/lib/tallyport/gateway /var/lib/tallyport/provisioner /var/lib/tallyport/mail \
        /var/lib/tallyport/sources
COPY --from=build /opt/tallyport /opt/tallyport
ENV PATH=/opt/tallyport/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TALLYPORT_HOME=/var/lib/tallyport \
    TALLYPORT_API_HOST=0.0.0.0 \
    TALLYPORT_GATEWAY_HOST=0.0.0.0 \
    TALLYPORT_LOG_FORMAT=json
USER tallyport
WORKDIR /var/lib/tallyport
ENTRYPOINT ["tallyport"]
CMD ["--help"]
