# The Holdfast appliance. The packages are built in a stage of their own, so that no compiler and no package index is in
# what runs.

FROM debian:trixie-slim AS system
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ktls-utils libfuse3-4 libnss-extrausers nfs-kernel-server nfs-common python3 rpcbind \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
        /var/cache/debconf/*-old /var/lib/dpkg/*-old \
    # Python's tests of itself, and its manual.
    && rm -rf /usr/lib/python3.13/test /usr/lib/python3.13/pydoc_data /usr/lib/python3.13/lib-dynload/_*test*.so \
    && useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast-api


FROM system AS packages
WORKDIR /build
COPY requirements-build.lock requirements.lock ./
# Everything is checked against the hashes of the locks, also what builds the packages: hence no build isolation, which
# would fetch its tools unchecked.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        gcc libc6-dev libfuse3-dev pkgconf python3-dev python3-venv \
    && python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && CFLAGS="-O2 -g0" LDFLAGS=-s tools/bin/pip wheel --no-cache-dir --no-build-isolation --require-hashes \
        -r requirements.lock --wheel-dir wheels \
    && python3 -m venv --without-pip /opt/holdfast \
    && tools/bin/pip --python /opt/holdfast/bin/python install --no-cache-dir --no-index --no-deps wheels/*.whl
# Our own extension of pyfuse3, for FUSE passthrough.
COPY appliance/fuse/native native
RUN CFLAGS="-O2 -g0" LDFLAGS=-s tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps \
        --wheel-dir native ./native \
    && tools/bin/pip --python /opt/holdfast/bin/python install --no-cache-dir --no-index --no-deps native/*.whl
# Sources of what is compiled, only now that our extension has been compiled against them; and trio's tests of itself.
RUN cd /opt/holdfast/lib/python3.13/site-packages \
    && rm -r pyfuse3/*.[ch] pyfuse3/*.pyx pyfuse3/*.px[di] trio/_tests trio/_core/_tests


FROM system
ENV PATH=/opt/holdfast/bin:/usr/sbin:/usr/bin \
    PYTHONUNBUFFERED=1
WORKDIR /
LABEL org.opencontainers.image.title="Holdfast" \
    org.opencontainers.image.description="NFS server whose file handles outlive everything" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
# Where the appliance mounts and writes; the root filesystem itself may be read-only. Netgroups are read from a file, which
# may lie beside shares.yaml: Debian would ask NIS, and the client for that is not here. So may be the accounts that
# Kerberos' principals stand for: passwd and group. idmapd.conf the appliance writes.
RUN mkdir -p /exports /etc/exports.d /etc/nfs.conf.d \
    && ln -s /etc/holdfast/netgroup /etc/netgroup \
    && ln -sf /run/holdfast/idmapd.conf /etc/idmapd.conf \
    && rm -rf /var/lib/extrausers && ln -s /etc/holdfast /var/lib/extrausers \
    && sed -i -E 's/^((passwd|group):.*)$/\1 extrausers/' /etc/nsswitch.conf \
    && sed -i '/^netgroup:/d' /etc/nsswitch.conf && echo 'netgroup:       files' >> /etc/nsswitch.conf
VOLUME /var/lib/holdfast
EXPOSE 2049 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD python -m api.healthcheck "${HOLDFAST_RUN_DIR:-/run/holdfast}/api.sock"
CMD ["python", "-m", "appliance"]
COPY --from=packages /opt/holdfast /opt/holdfast
# The project's own code comes last, because it changes often; compiled, because nobody writes there at run time.
RUN printf '#!/opt/holdfast/bin/python\nimport sys\nfrom api.cli.__main__ import main\nsys.exit(main())\n' \
        > /opt/holdfast/bin/holdfast && chmod 755 /opt/holdfast/bin/holdfast
COPY appliance /opt/holdfast/lib/python3.13/site-packages/appliance
COPY api /opt/holdfast/lib/python3.13/site-packages/api
RUN python -m compileall -q /opt/holdfast/lib/python3.13/site-packages/appliance \
    /opt/holdfast/lib/python3.13/site-packages/api
