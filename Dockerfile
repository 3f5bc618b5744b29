# The Holdfast appliance. The packages are built in a stage of their own, so that no compiler and no package index is in
# what runs; and what runs is one layer of what is left of Debian when all that only installs has gone.
#
# Nothing in the image depends on when or where it was built, but for Debian's packages, which are those of the day:
# times are this one, bytecode is checked against no times, and what maintainer scripts log is removed.
ARG SOURCE_DATE_EPOCH=1735689600


FROM debian:trixie-slim AS system
ARG SOURCE_DATE_EPOCH
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        kmod ktls-utils libfuse3-4 libnss-extrausers nfs-kernel-server nfs-common python3 rpcbind


FROM system AS packages
ARG SOURCE_DATE_EPOCH
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
    && tools/bin/pip --python /opt/holdfast/bin/python install --no-cache-dir --no-index --no-deps --no-compile wheels/*.whl
# Our own extension of pyfuse3, for FUSE passthrough.
COPY appliance/fuse/native native
RUN CFLAGS="-O2 -g0" LDFLAGS=-s tools/bin/pip wheel --no-cache-dir --no-build-isolation --no-deps \
        --wheel-dir native ./native \
    && tools/bin/pip --python /opt/holdfast/bin/python install --no-cache-dir --no-index --no-deps --no-compile native/*.whl
# Sources of what is compiled, only now that our extension has been compiled against them; and trio's tests of itself.
RUN cd /opt/holdfast/lib/python3.13/site-packages \
    && rm -r pyfuse3/*.[ch] pyfuse3/*.pyx pyfuse3/*.px[di] trio/_tests trio/_core/_tests \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /opt/holdfast


FROM system AS trimmed
ARG SOURCE_DATE_EPOCH
RUN useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast-api \
    # What installs, makes users, or is used by nothing but these. dpkg stays, which tells what there is.
    && dpkg --purge --force-depends --force-remove-protected ucf \
    && dpkg --purge --force-depends --force-remove-essential --force-remove-protected \
        adduser apt debconf debian-archive-keyring init-system-helpers libapt-pkg7.0 libbsd0 liblz4-1 libseccomp2 \
        libsemanage-common libsemanage2 libsepol2 libstdc++6 passwd perl-base sqv \
    # Python's tests of itself and its manual; conversions between character sets, of which only UTF-8 is used.
    && rm -rf /usr/lib/python3.13/test /usr/lib/python3.13/pydoc_data /usr/lib/python3.13/lib-dynload/_*test*.so \
        /usr/lib/*/gconv /usr/lib/*/perl-base /usr/share/perl5 \
        /etc/apt /etc/*- /run/* /tmp/* /var/cache/* /var/lib/apt /var/lib/dpkg/*-old /var/lib/systemd /var/log/* \
    # No program of it raises anybody's rights; and no password was changed on the day of the build.
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\\1:$((SOURCE_DATE_EPOCH / 86400)):/" /etc/shadow \
    && find / -xdev -name __pycache__ -exec rm -r {} + \
    && python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13 /usr/lib/python3 \
    # Nothing that is left may miss a library that has gone.
    && ! find / -xdev -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + 2> /dev/null | grep 'not found'


FROM scratch
COPY --from=trimmed / /
ENV PATH=/opt/holdfast/bin:/usr/sbin:/usr/bin \
    PYTHONUNBUFFERED=1
WORKDIR /
LABEL org.opencontainers.image.title="Holdfast" \
    org.opencontainers.image.description="NFS server whose file handles outlive everything" \
    org.opencontainers.image.licenses="Apache-2.0"
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
COPY --chmod=755 appliance/nfs/holdfast-statd-callout /opt/holdfast/bin/
COPY appliance /opt/holdfast/lib/python3.13/site-packages/appliance
COPY api /opt/holdfast/lib/python3.13/site-packages/api
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/holdfast/lib/python3.13/site-packages/appliance \
    /opt/holdfast/lib/python3.13/site-packages/api
