"""The mirror comes from what apt says, whatever its order; without Debian's archive nothing is guessed."""

import pytest

from deploy.debian import Mirrors, parse_mirrors
from deploy.errors import DeployError

TARGETS = """Somebody|bookworm|http://tools.example/debian/
Debian|bookworm-security|http://mirror.example/debian-security/
Debian|bookworm-updates|http://updates.example/debian/
Debian|bookworm|http://mirror.example/debian/
Debian|bookworm|http://second.example/debian/
"""


def test_the_mirrors_are_apts_own() -> None:
    assert parse_mirrors(TARGETS) == Mirrors("http://mirror.example/debian", "http://mirror.example/debian-security")


def test_sources_of_another_suite() -> None:
    assert Mirrors("http://a", "http://s").sources("trixie") == [
        "deb http://a trixie main",
        "deb http://a trixie-updates main",
        "deb http://s trixie-security main",
    ]
    assert Mirrors("http://a", "").sources("trixie") == ["deb http://a trixie main", "deb http://a trixie-updates main"]


@pytest.mark.parametrize("targets", ["", "broken line\n", "Other|bookworm|http://a.example/\n", "Debian|bookworm|\n"])
def test_no_mirror_is_an_error_with_a_way_out(targets: str) -> None:
    with pytest.raises(DeployError, match="apt-get update"):
        parse_mirrors(targets)
