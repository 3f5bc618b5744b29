"""Everything at once for three minutes; `make soak` does it for thirty."""

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1500)]

_DEATHS = ("worker killed", "pool killed", "supervisor killed", "container killed", "container restarted")


def test_two_clients_notice_nothing(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run("$FILES/soak.sh 180", timeout=1200)
    summary = said.strip().splitlines()[-1]
    assert re.search(r"; 0 client errors; 0 wrong contents$", summary)
    assert re.search(r": [1-9]\d* operations of 4 programs on 2 clients; ", summary)
    assert len(re.findall(r"^soak-\d-\d: [1-9]\d* operations$", said, re.MULTILINE)) == 4, said
    for death in _DEATHS:
        assert re.search(rf"\b[1-9]\d* {death}\b", summary), said
    record_property("soak", summary)
