"""What shares say of their clients, as exportfs has it."""

import pytest

from tests.vm.conftest import INSIDE, Client

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]


def test_exportfs_understands_what_was_meant_whatever_the_names(client: Client) -> None:
    assert (INSIDE / "hostile_exports.py").exists()
    said = client.run(
        """
        docker exec --privileged --interactive $(container) unshare --mount --net python - \
            < $FILES/hostile_exports.py 2>&1
        """
    )
    assert "160 lines are as they were meant" in said
