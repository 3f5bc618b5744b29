"""docs/settings.md lists each setting as it is."""

from pathlib import Path

from appliance.settings import PREFIX, Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def rows() -> list[str]:
    """Return the table's rows as they should be."""
    return [
        f"| `{PREFIX}{name.upper()}` | `{_shown(field.default)}` | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_each_setting_has_its_row_and_no_other_is_there() -> None:
    found = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{PREFIX}")]
    assert found == rows()
