"""The checkout in the virtual machine, with what `python -m deploy` imports: the machine as somebody's own host."""

from __future__ import annotations

import io
import subprocess
import tarfile
from importlib import metadata
from pathlib import Path

from deploy.paths import CHECKOUT
from tests.vm.conftest import Client

# What `deploy` imports beside the standard library; it has no compiled parts that it could not do without.
_PACKAGES = ("docker", "requests", "urllib3", "idna", "certifi", "charset-normalizer")

# For scripts. `deploy COMMAND`: its status is printed and not judged.
DEPLOY = """
deploy() {
    local status=0
    (cd /root/checkout && PYTHONPATH=/root/checkout/site HOLDFAST_SOURCES=/srv python3 -m deploy "$@") || status=$?
    echo "$1 ended with $status"
}
"""


def bring(client: Client) -> None:
    """Put it at /root/checkout, anew."""
    client.channel.execute(("tee", "/root/checkout.tar"), _packed())
    client.run(
        """
        rm -rf /root/checkout /root/.local/state/holdfast; mkdir -p /root/checkout
        tar -xf /root/checkout.tar -C /root/checkout
        """
    )


def _packed() -> bytes:
    """Return a tar of the checkout's files and, below `site`, of the packages."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=CHECKOUT, capture_output=True, check=True,
    )
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w") as tar:
        for name in filter(None, listed.stdout.decode(errors="surrogateescape").split("\0")):
            if (CHECKOUT / name).is_file():
                tar.add(CHECKOUT / name, name)
        for package in _PACKAGES:
            for file in metadata.files(package) or ():
                if file.suffix == ".py" or ".dist-info" in str(file):
                    tar.add(Path(str(file.locate())), f"site/{file}")
    return result.getvalue()
