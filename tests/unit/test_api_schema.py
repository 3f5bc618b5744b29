"""The API does what its OpenAPI document says: schemathesis makes requests from the document, good ones and bad ones.

Whatever is answered has to be a status, a header and a body that the document has for that route. A request that breaks
the document's rules must be refused, one that keeps them must not be called invalid, and none may be a defect.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from api.app import create_app
from api.authenticator import Openness
from api.control_client import ControlClient
from tests.support.played_supervisor import Supervisor

TOKEN = "correct-horse"  # noqa: S105 - made up
APP = create_app(
    ControlClient(Path("/nowhere"), timeout=60), TOKEN, openness=Openness(docs=True), failures_per_minute=10_000
)
CONFIG = schemathesis.Config.from_dict(
    {
        "headers": {"Authorization": f"Bearer {TOKEN}"},
        # 422 is the documented answer to what breaks a rule that JSON Schema has no words for; 412 and 428 to a
        # revision that is another or not said.
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "404", "409", "412", "422", "428"]}
        },
    }
)
# The stream of events does not end; tests/unit/test_events.py has it.
schema = schemathesis.openapi.from_asgi("/openapi.json", APP, config=CONFIG).exclude(path="/v1/events/stream")


@pytest.fixture(scope="module", autouse=True)
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("schema") / "control.sock"
    with Supervisor(path):
        APP.state.control = ControlClient(path, timeout=60)
        yield


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_api_keeps_its_document(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
