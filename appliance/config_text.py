"""A configuration as YAML, read with suspicion and written for people."""

from __future__ import annotations

import io
import json
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from appliance.errors import RequestError
from appliance.model import Config, ConfigFile, fault

MAX_BYTES = 4 * 1024 * 1024
_HINT = "docs/sharing.md has an example"


def parse(text: bytes) -> ConfigFile:
    """Return what a file says; raises RequestError that names the place at fault."""
    if len(text) > MAX_BYTES:
        raise RequestError(f"it has more than {MAX_BYTES} bytes", "split it, or leave shares to REST")
    try:
        # YAML 1.2, in which `no` is a word and a key may be there once; nothing but plain values is made of it.
        found = YAML(typ="safe", pure=True).load(text.decode())
    except UnicodeDecodeError:
        raise RequestError("it is not UTF-8", "write it anew as UTF-8") from None
    except MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise RequestError(f"{place}{_plain(error.problem or 'it is no YAML')}", _HINT) from None
    except Exception as error:  # noqa: BLE001 - what a tag does not fit fails in ruamel as it happens: KeyError, IndexError
        raise RequestError(f"it is no YAML: {type(error).__name__}: {_plain(str(error)[:200])}", _HINT) from None
    try:
        return ConfigFile.model_validate_json(_json(found))
    except ValidationError as error:
        raise fault(error.errors(include_url=False)) from None


def render(config: Config) -> str:
    """Return a configuration as a file for people: what is as it would be anyway is left out."""
    plain: dict[str, Any] = {"version": config.version}
    plain["shares"] = [share.model_dump(mode="json", exclude_defaults=True) for share in config.shares]
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated as None
    yaml.allow_unicode = True
    yaml.width = 120
    target = io.StringIO()
    yaml.dump(plain, target)
    return target.getvalue()


def _json(value: object) -> str:
    parts, size = [], 0
    try:
        for part in json.JSONEncoder().iterencode(value):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:  # aliases of aliases: few lines can stand for more than any memory holds
                raise ValueError("its aliases stand for too much")
        return "".join(parts)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"it has a value that is not plain: {error}", _HINT) from None


def _plain(words: str) -> str:
    """Return words of an error as text that can be stored: YAML's escapes can name surrogates, which UTF-8 has not."""
    return words.encode(errors="backslashreplace").decode()
