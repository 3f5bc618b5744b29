"""What is compared: the kernel's own server, nfs-ganesha, and the appliance's shares in several ways."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from appliance.settings import Settings
from tests.bench.nfs.machine import Guest
from tests.bench.rounds import Work

NATIVE = "native knfsd"
GANESHA = "nfs-ganesha"
OURS = "Holdfast"
_ADDRESSES = {NATIVE: "10.78.0.2", GANESHA: "10.78.0.3"}
_EVERYBODY = {"network": "0.0.0.0/0", "access": "rw", "squash": "none", "secure_ports": False}


@dataclass(frozen=True)
class Variant:
    """A share that differs from what a user gets who says nothing. `other` is a share of the second appliance."""

    name: str
    workers: int = 2
    caching: str = "shared"
    other: bool = False

    def share(self, kind: str) -> dict[str, object]:
        """Return it as the REST API takes it, disabled."""
        return {
            "name": self.share_name(kind), "source": self.directory(kind), "clients": [_EVERYBODY],
            "workers": self.workers, "caching": self.caching, "enabled": False,
        }  # fmt: skip

    def share_name(self, kind: str) -> str:
        """Return the name of its share of this kind of filesystem."""
        return f"{kind}-{self.workers}-{self.caching}"

    def directory(self, kind: str) -> str:
        """Return its source, of its own: shares may not overlap."""
        return f"/srv/bench-{kind}/{self.share_name(kind)}{'-second' if self.other else ''}"

    @property
    def prefix(self) -> str:
        """What comes before a shell's function that asks its appliance's API."""
        return "second " if self.other else ""


DEFAULT = Variant(OURS)
_PASSTHROUGH = Settings.model_fields["passthrough"].default
# Passthrough is a setting of a whole appliance, so this is another one.
OTHER_PATH = Variant("no passthrough" if _PASSTHROUGH else "passthrough", other=True)
VARIANTS = (
    DEFAULT,
    Variant("exclusive", caching="exclusive"),
    Variant("1 worker", workers=1),
    Variant("4 workers", workers=4),
    OTHER_PATH,
)
Variants = Mapping[str, Sequence[Variant]]
"""What is compared on each kind of filesystem; the first is the appliance as it is by default."""


@contextmanager
def serving(guest: Guest, variants: Variants, files: int) -> Iterator[None]:
    """Have all servers up for the time of the block, with so many files of a source tree to unpack."""
    shares = [(kind, variant) for kind, all_of_it in variants.items() for variant in all_of_it]
    second = any(variant.other for _, variant in shares)
    try:
        guest.run("network\n" + "".join(f"disk {kind} {guest.disks[kind]}\n" for kind in variants))
        kinds = " ".join(variants)
        guest.run(f"make_archive {files}\nserve native {kinds}\nserve ganesha {kinds}")
        if second:
            guest.run(f"begin_second HOLDFAST_PASSTHROUGH={not _PASSTHROUGH}")
        for kind, variant in shares:
            guest.run(f"mkdir {variant.directory(kind)}")
            guest.run(f"{variant.prefix}api POST /v1/shares {shlex.quote(json.dumps(variant.share(kind)))}")
        yield
    finally:
        own = [variant.share_name(kind) for kind, variant in shares if not variant.other]
        removed = "".join(f"api DELETE /v1/shares/{name} || true\n" for name in own)
        guest.run(f"{'end_second' if second else ''}\n{removed}end")


@dataclass(frozen=True)
class Comparison:
    """The servers of one filesystem, all up."""

    guest: Guest
    kind: str
    size: str
    variants: Sequence[Variant]
    _addresses: dict[str, str] = field(default_factory=dict)

    def works(self) -> dict[str, Work]:
        """Return what does a turn on each server, the reference first."""
        own = {
            each.name: self._work(self._source(each), each.share_name(self.kind), each.prefix)
            for each in self.variants
        }  # fmt: skip
        peers = {
            name: self._work(f"{address}:/srv/bench-{self.kind}/{directory}")
            for directory, (name, address) in zip(("native", "ganesha"), _ADDRESSES.items(), strict=True)
        }
        return {NATIVE: peers[NATIVE], **own, GANESHA: peers[GANESHA]}

    def counted(self, workloads: str) -> dict[str, Any]:
        """Have the appliance do workloads as it is by default, and return what its workers were asked meanwhile."""
        ours = self.variants[0]
        share = ours.share_name(self.kind)
        said = self.guest.run(f"export BENCH_SHARE={share}\nturn {self._source(ours)} {share} {workloads} {self.size}")
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def _source(self, variant: Variant) -> str:
        project = "second" if variant.other else "holdfast"
        if project not in self._addresses:
            self._addresses[project] = self.guest.run(f"address {project}").strip()
        return f"{self._addresses[project]}:/{variant.share_name(self.kind)}"

    def _work(self, source: str, share: str = "", prefix: str = "") -> Callable[[str], dict[str, float]]:
        def turn(workloads: str) -> dict[str, float]:
            said = self.guest.run(f"{prefix}turn {source} {share or repr('')} {workloads} {self.size}")
            rates: dict[str, float] = json.loads(said.splitlines()[-1])["rates"]
            return rates

        return turn
