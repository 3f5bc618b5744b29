"""Shares as YAML: what is written is read again, and what is no configuration is refused with its place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance import config_text
from appliance.errors import RequestError
from appliance.model import Client, Config, Share

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)


@given(st.dictionaries(NAMES, st.tuples(WORDS, WORDS, st.booleans()), max_size=4))
def test_what_is_written_is_read_again(shares: dict[str, tuple[str, str, bool]]) -> None:
    made = []
    for name, (comment, path, sync) in shares.items():
        try:
            made.append(
                Share(
                    name=name, source=f"/srv/{path}", comment=comment, labels={name: comment}, sync=sync,
                    clients=(Client(network="0.0.0.0/0", anonuid=0, security=("krb5", "sys")),),
                )
            )  # fmt: skip
        except ValidationError:
            continue
    config = Config(shares=tuple(made))
    assert config_text.parse(config_text.render(config).encode()).shares == config.shares


LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)) for letter in range(ord("b"), ord("k"))
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "object"),
        (b"shares: [", "line 1"),
        (b"version: 1\nversion: 1\nshares: []", "duplicate"),
        (b"version: 2\nshares: []", "version"),
        (b"version: 1", "shares"),
        (b"shares:\n- name: a", "shares.0.source"),
        (b"shares:\n- {name: a, source: /srv/a, enabled: yes}", "shares.0.enabled"),
        (b"shares:\n- {name: a, source: /srv/a}\n- {name: a, source: /srv/b}", "twice"),
        (b"shares: []\nextra: 1", "extra"),
        (b"\xff", "UTF-8"),
        (b"\0", "YAML"),
        (b"!!python/object/apply:os.system [ls]", "tag"),
        (b"&a [*a]", "plain"),
        (b"2020-01-01", "plain"),
        (b"? [a]\n: b", "plain"),
        (b"[" * 2000, "recursion"),
        (b"shares: []\nversion: !!bool maybe", "maybe"),
        (b"? [[a]]\n: b", "unhashable"),
        (b"a: !!int ''", "index"),
        (b'a: "\\UFFFFFFFF"', "too large"),
        (b"# " + b"x" * config_text.MAX_BYTES, "bytes"),
        (LAUGHS, "too much"),
    ],
)
def test_what_is_no_configuration_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        config_text.parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", [b'"\\uD800": 1\n"\\uD800": 2', b'a: !!float "\\uD800"', b'"\\uD800"'])
def test_a_reason_can_be_stored_whatever_the_file_says(text: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        config_text.parse(text)
    assert str(caught.value).encode()


@given(st.binary())
def test_whatever_is_read_nothing_else_happens(text: bytes) -> None:
    with contextlib.suppress(RequestError):
        config_text.parse(text)


TAGS = ("bool", "int", "float", "null", "str", "binary", "timestamp", "seq", "map", "set", "omap")
PIECES = (
    *(f"!!{tag} " for tag in TAGS), *("a", "1", "-", ".", ":", "_", "0x", "e", "~", "2020-01-01", "T", "<<", "%"),
    *(" ", "\n", "''", '"', "\\U", "\\x", "F", "? ", ": ", "- ", "[", "]", "{", "}", ",", "&a ", "*a ", "|", ">"),
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_yaml_is_read_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(RequestError):
        config_text.parse(text.encode())
