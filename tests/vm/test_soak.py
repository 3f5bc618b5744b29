"""Everything at once for three minutes; `make soak` does it for thirty."""

import re
from collections.abc import Callable

import pytest

from tests.vm.conftest import Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]


def test_two_clients_notice_nothing(client: Client, record_property: Callable[[str, object], None]) -> None:
    said = client.run("$FILES/soak.sh 180", timeout=900)
    summary = said.strip().splitlines()[-1]
    assert re.search(r"; 0 client errors; 0 wrong contents$", summary)
    record_property("soak", summary)
