"""The environment, read once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from appliance import settings
from appliance.errors import SettingsError


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(f"HOLDFAST_{name.upper()}", raising=False)


def test_every_setting_is_described() -> None:
    missing = [name for name, field in settings.Settings.model_fields.items() if not field.description]
    assert missing == []


def test_defaults_are_safe() -> None:
    found = settings.load()
    assert not found.nfs_v3
    assert found.workers == 2
    assert found.nfs_grace >= found.nfs_lease >= 10


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOLDFAST_NFS_GRACE", "9"),
        ("HOLDFAST_NFS_LEASE", "5"),
        ("HOLDFAST_WORKERS", "0"),
        ("HOLDFAST_WORKERS", "many"),
        ("HOLDFAST_STATE_DIR", "state"),
        ("HOLDFAST_NFS_PORT", "65536"),
        ("HOLDFAST_API_ADDRESS", "localhost"),
        ("HOLDFAST_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        settings.load()
    assert variable in caught.value.message
    assert caught.value.exit_code == 78


def test_grace_shorter_than_lease_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_NFS_GRACE", "20")
    monkeypatch.setenv("HOLDFAST_NFS_LEASE", "21")
    with pytest.raises(SettingsError, match="nfs_grace"):
        settings.load()


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_WORKERS", "")
    assert settings.load().workers == 2


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        settings.load().workers = 3


def test_another_process_loads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STATE_DIR", "/elsewhere")
    monkeypatch.setenv("HOLDFAST_NFS_V3", "yes")
    monkeypatch.setenv("HOLDFAST_COMMAND_TIMEOUT", "7.5")
    first = settings.load()
    for name, value in first.environment().items():
        monkeypatch.setenv(name, value)
    assert settings.load() == first
    assert first.database == Path("/elsewhere/holdfast.db")


def test_the_documentation_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs/settings.md"
    assert page.read_text() == settings.document(), "write it anew: appliance.settings.document()"


def test_roots_are_one_word_with_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load().source_roots == (Path("/srv"),)
    monkeypatch.setenv("HOLDFAST_SOURCE_ROOTS", "/srv:/media/with space")
    loaded = settings.load()
    assert loaded.source_roots == (Path("/srv"), Path("/media/with space"))
    assert loaded.environment()["HOLDFAST_SOURCE_ROOTS"] == "/srv:/media/with space"
    monkeypatch.setenv("HOLDFAST_SOURCE_ROOTS", "/srv:relative")
    with pytest.raises(SettingsError, match="SOURCE_ROOTS"):
        settings.load()
