"""Run in a container of its own, which has all rights: what exportfs makes of the worst that we render.

Whatever the names, exportfs must have understood exactly the exports, clients and options that were meant.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

from appliance.model import Client
from appliance.nfs.exports import Export, expected, parse_etab, render
from appliance.state.records import Fsid

PLACE = Path("/run/hostile")
NAMES = [
    b"plain", b"with space", b'"quoted"', b"'", b"back\\slash", b"\\04", b"new\nline", b"tab\t", b"a(rw)", b"#", b"*",
    b"a,b=c", b"-ro", b"@group", b"caf\xc3\xa9", b"\xff\xfe", b"a 0.0.0.0/0(rw,no_root_squash)", b"x" * 200,
    b"\x01\x7f",
]  # fmt: skip
CLIENTS = (
    Client(network="192.0.2.0/24", access="rw", squash="none"),
    Client(network="2001:db8::/32", squash="all", anonuid=7, anongid=0),
    Client(host="192.0.2.7", secure_ports=False),
    Client(netgroup="farm", access="rw"),
    Client(wildcard="*.lab.example.org", transport="tls"),
    Client(wildcard="n?.example.org", security=("krb5p", "sys"), transport="mtls"),
    Client(network="0.0.0.0/0"),
)

os.makedirs(PLACE / "state", exist_ok=True)
subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/exports.d"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/nfs.conf.d"], check=True)
Path("/etc/nfs.conf.d/own.conf").write_text(f"[exportd]\nstate-directory-path = {PLACE}/state\n")
(PLACE / "state/etab").touch()
exports = []
for number, name in enumerate(NAMES):
    path = Path(os.fsdecode(bytes(PLACE) + b"/" + name))
    path.mkdir(parents=True, exist_ok=True)
    exports.append(Export(path, Fsid(UUID(int=number + 1)), CLIENTS, sync=number % 2 == 0))
Path("/etc/exports.d/own.exports").write_text(render(PLACE, exports), errors="surrogateescape")
done = subprocess.run(["exportfs", "-ra"], capture_output=True, check=False)
sys.stderr.buffer.write(done.stderr)

text = (PLACE / "state/etab").read_text(errors="surrogateescape")
found, wanted = parse_etab(text), expected(PLACE, exports)
assert found == wanted, f"unwanted {sorted(found - wanted)}, lacking {sorted(wanted - found)}"
lines = re.findall(r"^(\S+)\t(\S+?)\((\S*)\)$", text, re.MULTILINE)
assert len(lines) == len(text.splitlines()) == (len(NAMES) + 1) * (len(CLIENTS) + 1), text
for path, client, options in lines:
    words = set(options.split(","))
    root = path == str(PLACE)
    assert ("rw" in words) == (not root and client in ("192.0.2.0/24", "@farm")), (path, client, words)
    assert ("no_root_squash" in words) == (not root and client == "192.0.2.0/24"), (path, client, words)
    # The root lets in each of them in every way that will do for any.
    assert ("insecure" in words) == (root or client == "192.0.2.7"), (path, client, words)
    (flavours,) = [word.removeprefix("sec=") for word in words if word.startswith("sec=")]
    assert set(flavours.split(":")) == ({"sys", "krb5p"} if root or client == "n?.example.org" else {"sys"}), words
    assert root or client != "n?.example.org" or flavours == "krb5p:sys", words
    assert ("xprtsec=tls:mtls" in words, "xprtsec=mtls" in words) == (
        not root and client == "*.lab.example.org", not root and client == "n?.example.org"
    ), (path, client, words)  # fmt: skip
print(f"{len(lines)} lines are as they were meant")
