# A container of its own, with keys for Kerberos and TLS, and this machine as a client of it that has a KDC, rpc.gssd and
# tlshd. `prepare` brings all that up and `tidy` takes it away.
config=/var/lib/wire
name=nfs.lab.example.org
export KRB5_CONFIG=$config/krb5.conf KRB5_KDC_PROFILE=$config/client/kdc.conf

wire() {
    HOLDFAST_CONFIG=$config HOLDFAST_NFS_BIND=127.0.0.1:22049 HOLDFAST_API_BIND=127.0.0.1:28080 \
        docker compose --project-name wire --file /root/holdfast/compose.yaml --file $config/client/override.yaml "$@"
}
inside() { docker exec "$(wire ps --quiet holdfast)" "$@"; }
wire_ready() { curl --silent --fail --max-time 10 http://127.0.0.1:28080/readyz; }
ask() {  # METHOD PATH [JSON]
    curl --silent --max-time 180 --request "$1" "http://127.0.0.1:28080$2" ${3:+--json "$3"} \
        --header "Authorization: Bearer $(inside cat /var/lib/holdfast/api-token)"
}
health() { ask GET /v1/health; }

# SHARE OPTIONS [COMMAND...]: whether a file can be written through such a mount, as whom the command makes one.
reaches() {
    local share=$1 options=$2 status=1
    shift 2
    rm -f /srv/wire/$share/file
    if timeout 240 mount -t nfs4 -o vers=4.2,retry=0,$options $name:/$share /mnt/wire; then
        "$@" sh -c "echo $options > /mnt/wire/file" && grep -qx "$options" /srv/wire/$share/file && status=0
        umount /mnt/wire
    fi
    return $status
}

background() {  # NAME COMMAND...
    local name=$1
    shift
    setsid "$@" > $config/client/$name.log 2>&1 < /dev/null &
    echo $! >> $config/client/pids
}

certificates() {
    cat > openssl.cnf << 'END'
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:nfs.lab.example.org
END
    local key="-config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
    openssl req -x509 $key -extensions ca -subj /CN=lab -keyout ca.key -out ../nfs-tls-ca.crt
    openssl req -x509 $key -extensions leaf -subj /CN=server -CA ../nfs-tls-ca.crt -CAkey ca.key \
        -keyout ../nfs-tls.key -out ../nfs-tls.crt
    openssl req -x509 $key -extensions leaf -subj /CN=client -CA ../nfs-tls-ca.crt -CAkey ca.key \
        -keyout client.key -out client.crt
    chmod 600 ../nfs-tls.key client.key
}

realm() {
    cat > $KRB5_CONFIG << 'END'
[libdefaults]
default_realm = LAB.EXAMPLE.ORG
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
[realms]
LAB.EXAMPLE.ORG = {
    kdc = 127.0.0.1:10088
}
[domain_realm]
.lab.example.org = LAB.EXAMPLE.ORG
END
    cat > kdc.conf << END
[kdcdefaults]
kdc_listen = 127.0.0.1:10088
kdc_tcp_listen = 127.0.0.1:10088
[realms]
LAB.EXAMPLE.ORG = {
    database_name = $PWD/principal
    key_stash_file = $PWD/stash
}
END
    kdb5_util -r LAB.EXAMPLE.ORG -P lab create -s
    for principal in nfs/$name host/desk.lab.example.org alice; do kadmin.local addprinc -randkey $principal; done
    kadmin.local ktadd -k ../krb5.keytab nfs/$name
    kadmin.local ktadd -k client.keytab host/desk.lab.example.org
    kadmin.local ktadd -k alice.keytab alice
    echo 'alice:x:4711:4711::/:/usr/sbin/nologin' > ../passwd
    echo 'alice:x:4711:' > ../group
}

shares() {
    echo 'shares:'
    while read -r share protection; do
        mkdir -p -m 777 /srv/wire/$share
        chmod 777 /srv/wire/$share
        echo "- {name: $share, source: /srv/wire/$share, clients: [{network: 0.0.0.0/0, access: rw,"
        echo "    secure_ports: false, $protection}]}"
    done
}

client_daemons() {
    cat > tlshd.conf << END
[authenticate.client]
x509.truststore=$config/nfs-tls-ca.crt
x509.certificate=$PWD/client.crt
x509.private_key=$PWD/client.key
END
    background krb5kdc krb5kdc -n
    mkdir -p /run/rpc_pipefs
    mountpoint -q /run/rpc_pipefs || mount -t rpc_pipefs rpc_pipefs /run/rpc_pipefs
    background gssd rpc.gssd -f -v -k $PWD/client.keytab
    background tlshd tlshd -s -c $PWD/tlshd.conf
}

prepare() {
    mkdir -p $config/client /mnt/wire
    cd $config/client
    printf 'services: {holdfast: {cap_add: [NET_ADMIN]}}\n' > override.yaml
    cp /etc/hosts hosts.before
    echo "127.0.1.1 desk.lab.example.org $(hostname)" >> /etc/hosts  # rpc.gssd wants to find itself
    certificates
    realm
    printf '%s\n' 'krb5p security: [krb5p]' 'tls transport: tls' | shares > ../shares.yaml
    wire up --detach --no-build
    client_daemons
    await 900 wire_ready
    echo "$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
        "$(wire ps --quiet holdfast)") $name" >> /etc/hosts
}

tidy() {
    umount --force --lazy /mnt/wire 2> /dev/null || true
    [ ! -e $config/client/hosts.before ] || cat $config/client/hosts.before > /etc/hosts
    for pid in $(cat $config/client/pids || true); do kill $pid || true; done
    tail -n 50 $config/client/*.log || true
    wire logs || true
    wire down --volumes || true
    rmdir /mnt/wire || true
    rm -rf $config /srv/wire /tmp/krb5cc_4321
}
