"""exports(5) lines: what is written means what was meant, whatever the names."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.model import Client
from appliance.nfs.exports import Export, addresses, escape, expected, pairs_of, parse_etab, render, unescape
from appliance.state.records import Fsid

ROOT = Path("/exports")
FSID = Fsid(UUID("5d3a1b42-1111-4222-8333-123456789abc"))
OFFICE = Client(network="192.0.2.0/24", access="rw")
# Written by exportfs of nfs-utils 2.8.3.
ETAB = (
    "/exports/a\t127.0.0.0/8(rw,sync,wdelay,hide,nocrossmnt,insecure,no_root_squash,no_all_squash,no_subtree_check,"
    "secure_locks,acl,no_pnfs,fsid=5d3a1b42-1111-4222-8333-123456789abc,mountpoint,anonuid=65534,anongid=65534,"
    "sec=sys,rw,insecure,no_root_squash,no_all_squash)\n"
    "/exports\t127.0.0.0/8(ro,sync,wdelay,hide,fsid=0,anonuid=65534,sec=sys,ro)\n"
    "/exports\t::1/128(ro,sync,wdelay,hide,fsid=0,anonuid=65534,sec=sys,ro)\n"
)


def parse(text: str) -> list[tuple[str, dict[str, set[str]]]]:
    """Read exports(5) as its manual page has it, independently of how it is written."""
    found = []
    for line in text.split("\n"):
        words = line.split("#")[0].split()
        if words:
            path = words[0]
            for _ in range(3):  # as exportfs of nfs-utils 2.8.3 does
                path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
            clients = {}
            for word in words[1:]:
                match = re.fullmatch(r"([^()]+)\(([^()]*)\)", word)
                assert match, word
                clients[match[1]] = set(match[2].split(","))
            found.append((path.encode("latin-1").decode(errors="surrogateescape"), clients))
    return found


def test_each_of_a_thousand_clients_is_in_the_list_once() -> None:
    crowd = tuple(Client(host=f"198.18.{number // 250}.{number % 250 + 1}", access="rw") for number in range(1000))
    export = Export(ROOT / "a", FSID, crowd)
    ((root, to_root), (path, to_share)) = parse(render(ROOT, [export]))
    assert (root, path) == ("/exports", "/exports/a")
    assert set(to_root) == set(to_share) == {client.host for client in crowd}
    assert len(expected(ROOT, [export])) == 2 * len(crowd)


def test_a_share_and_the_root_to_it() -> None:
    assert parse(render(ROOT, [Export(ROOT / "a", FSID, (OFFICE,))])) == [
        (
            "/exports",
            {"192.0.2.0/24": {"ro", "sync", "no_subtree_check", "sec=sys", "fsid=0", "root_squash", "secure"}},
        ),
        (
            "/exports/a",
            {
                "192.0.2.0/24": {
                    *("rw", "sync", "no_subtree_check", "sec=sys", "mountpoint", "root_squash", "secure"),
                    f"fsid={FSID}",
                }
            },
        ),
    ]


@pytest.mark.parametrize(
    ("squash", "option"), [("root", "root_squash"), ("all", "all_squash"), ("none", "no_root_squash")]
)
def test_squashing(squash: str, option: str) -> None:
    client = Client.model_validate({"host": "a", "squash": squash, "anonuid": 7, "anongid": 0})
    options = parse(render(ROOT, [Export(ROOT / "a", FSID, (client,))]))[1][1]["a"]
    assert {option, "anonuid=7", "anongid=0"} <= options
    assert len({"root_squash", "all_squash", "no_root_squash"} & options) == 1


def test_without_clients_nothing_is_exported() -> None:
    assert parse(render(ROOT, [])) == []
    assert parse(render(ROOT, [Export(ROOT / "a", FSID, ())])) == []


def test_the_root_is_for_all_clients_of_any_share_and_never_more_than_that() -> None:
    far = Client(host="far.example.org", secure_ports=False)
    exports = [Export(ROOT / "a", FSID, (OFFICE,)), Export(ROOT / "b", FSID, (far, OFFICE))]
    clients = dict(parse(render(ROOT, exports)))["/exports"]
    assert set(clients) == {"192.0.2.0/24", "far.example.org"}
    assert all("ro" in options and "root_squash" in options for options in clients.values())


@pytest.mark.parametrize(
    ("world", "halves"), [("0.0.0.0/0", {"0.0.0.0/1", "128.0.0.0/1"}), ("::/0", {"::/1", "8000::/1"})]
)
def test_the_whole_world_is_written_as_its_halves(world: str, halves: set[str]) -> None:
    exports = [Export(ROOT / "a", FSID, (Client(network=world),))]
    assert [set(clients) for _, clients in parse(render(ROOT, exports))] == [halves, halves]
    assert {client for _, client in expected(ROOT, exports)} == halves


names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..") and not re.search(r"\\[0-7]{3}", name)
)


@given(st.lists(names, unique=True, max_size=5))
def test_no_name_can_break_its_line(hostile: list[str]) -> None:
    exports = [Export(ROOT / name, FSID, (OFFICE,)) for name in hostile]
    found = parse(render(ROOT, exports))
    assert [path for path, _ in found] == (["/exports", *(f"/exports/{name}" for name in hostile)] if hostile else [])
    assert all(set(clients) == {"192.0.2.0/24"} for _, clients in found)


@given(st.binary().filter(lambda raw: b"\0" not in raw))
def test_escaping_is_undone(raw: bytes) -> None:
    path = raw.decode(errors="surrogateescape")
    assert unescape(escape(path)) == path


@given(st.text())
def test_an_address_that_is_none_is_never_written(address: str) -> None:
    client = Client.model_construct(network=None, host=address)
    try:
        text = render(ROOT, [Export(ROOT / "a", FSID, (client,))])
    except (ValueError, AssertionError):
        return
    assert [set(clients) for _, clients in parse(text)] == [{address}, {address}]


def test_what_is_expected_is_what_etab_will_hold() -> None:
    local = Client(network="127.0.0.0/8"), Client(network="::1/128")
    exports = [Export(ROOT / "a", FSID, local[:1]), Export(ROOT / "b", FSID, ())]
    wanted = expected(ROOT, exports)
    assert wanted == {("/exports", "127.0.0.0/8"), ("/exports/a", "127.0.0.0/8")}
    assert parse_etab(ETAB) == wanted | {("/exports", "::1/128")}
    assert parse_etab("") == frozenset()


def test_a_share_that_is_withheld_is_exported_below_a_place_that_is_never_a_mount() -> None:
    options = parse(render(ROOT, [Export(ROOT / "a", FSID, (OFFICE,), withheld=True)]))[1][1]["192.0.2.0/24"]
    assert "mountpoint" not in options
    assert "mountpoint=/proc/1" in options
    assert f"fsid={FSID}" in options


def options_of(export: Export, line: int = 1) -> dict[str, set[str]]:
    return parse(render(ROOT, [export]))[line][1]


def test_async_is_only_written_when_it_was_asked_for() -> None:
    assert "sync" in options_of(Export(ROOT / "a", FSID, (OFFICE,)))["192.0.2.0/24"]
    options = options_of(Export(ROOT / "a", FSID, (OFFICE,), sync=False))["192.0.2.0/24"]
    assert "async" in options
    assert "sync" not in options


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({}, {"sec=sys"}),
        ({"security": ["krb5p", "sys"]}, {"sec=krb5p:sys"}),
        ({"transport": "tls"}, {"sec=sys", "xprtsec=tls:mtls"}),
        ({"transport": "mtls"}, {"sec=sys", "xprtsec=mtls"}),
    ],
)
def test_protection_on_the_wire(given: dict[str, object], options: set[str]) -> None:
    client = Client.model_validate({"host": "a", **given})
    export = Export(ROOT / "a", FSID, (client,))
    for line in (0, 1):
        found = options_of(export, line)["a"]
        assert {option for option in found if option.startswith(("sec=", "xprtsec="))} == options


def test_the_root_is_as_open_as_the_most_open_share_and_no_more() -> None:
    careful = Client(host="a", security=("krb5p",), transport="mtls")
    careless = Client(host="a", security=("sys", "krb5i"), transport="tls", secure_ports=False)
    exports = [Export(ROOT / "a", FSID, (careful,)), Export(ROOT / "b", FSID, (careless,))]
    root = dict(parse(render(ROOT, exports)))["/exports"]["a"]
    assert {"sec=krb5p:krb5i:sys", "xprtsec=tls:mtls", "insecure"} <= root
    assert "sec=krb5p" in dict(parse(render(ROOT, exports)))["/exports/a"]["a"]


@pytest.mark.parametrize(
    "stricter", [{"host": "192.0.2.7"}, {"host": "a.example.org"}, {"network": "192.0.2.0/25"}, {"netgroup": "farm"}]
)
def test_an_entry_that_counts_before_another_share_s_does_not_close_the_root(stricter: dict[str, str]) -> None:
    wide = Client(network="192.0.2.0/24", secure_ports=False, security=("sys", "krb5p"), transport="tls")
    narrow = Client.model_validate({**stricter, "security": ["krb5"], "transport": "mtls"})
    exports = [Export(ROOT / "a", FSID, (wide,)), Export(ROOT / "b", FSID, (narrow,))]
    lines = dict(parse(render(ROOT, exports)))
    ways = lines["/exports"]
    assert set(ways) == {wide.address, narrow.address}
    assert ways[wide.address] == ways[narrow.address]
    assert {"insecure", "sec=krb5p:krb5:sys", "xprtsec=tls:mtls"} <= ways[narrow.address]
    assert {"secure", "sec=krb5", "xprtsec=mtls"} <= lines["/exports/b"][narrow.address]


def test_what_the_appliance_reads_itself_opens_the_root_to_nobody_else() -> None:
    careful, ourselves = Client(host="a", security=("krb5p",), transport="mtls"), Client(host="127.0.0.77")
    exports = [Export(ROOT / "a", FSID, (careful,), own=(ourselves,)), Export(ROOT / "b", FSID, (), own=(ourselves,))]
    lines = dict(parse(render(ROOT, exports)))
    assert {"sec=krb5p", "xprtsec=mtls"} <= lines["/exports"]["a"]
    assert all({"sec=sys", "ro", "secure"} <= found["127.0.0.77"] for found in lines.values())
    assert list(lines) == ["/exports", "/exports/a", "/exports/b"]
    ours = {(path, "127.0.0.77") for path in lines}
    assert expected(ROOT, exports) == ours | {(path, "host name 1") for path in ("/exports", "/exports/a")}


def test_netgroups_and_patterns_are_kept_by_exportfs_as_they_are() -> None:
    clients = Client(netgroup="farm"), Client(wildcard="*.lab.example.org"), Client(host="b.example.org")
    assert pairs_of(ROOT / "a", clients) == {
        ("/exports/a", "@farm"),
        ("/exports/a", "*.lab.example.org"),
        ("/exports/a", "host name 1"),
    }


hostile = st.one_of(
    st.text(),
    st.text("*?@-.,()#\\\"' \n\t/:=a0", max_size=20),
    st.lists(st.sampled_from(["*", ".example.org", "(rw)", ",", " ", "-", "\n", "\\040", "a", "@"])).map("".join),
)


def inside(before: str, after: str = "") -> st.SearchStrategy[str]:
    """What looks right but for something in its middle."""
    return st.one_of(hostile, hostile.map(lambda text: f"{before}{text}{after}"))


kinds = st.one_of(
    st.tuples(st.just("network"), inside("192.0.2.0/24")),
    st.tuples(st.just("host"), inside("a", ".example.org")),
    st.tuples(st.just("netgroup"), inside("a")),
    st.tuples(st.just("wildcard"), inside("*", ".lab.example.org")),
)
hostile_options = st.fixed_dictionaries(
    {},
    optional={
        "access": st.one_of(hostile, st.sampled_from(["ro", "rw"])),
        "squash": st.one_of(hostile, st.sampled_from(["root", "all", "none"])),
        "security": st.lists(st.one_of(hostile, st.sampled_from(["sys", "krb5p"]))),
        "transport": st.one_of(hostile, st.sampled_from(["none", "tls", "mtls"])),
        "anonuid": st.one_of(st.integers(), hostile), "secure_ports": st.one_of(st.booleans(), hostile),
    },
)  # fmt: skip
ALLOWED = re.compile(
    r"r[ow]|a?sync|no_subtree_check|mountpoint|fsid=[0-9a-f-]+|(no_)?root_squash|all_squash|anon[ug]id=\d+|(in)?secure|"
    r"sec=(sys|krb5[ip]?)(:(sys|krb5[ip]?))*|xprtsec=(tls:)?mtls"
)


@given(st.lists(st.tuples(kinds, st.one_of(st.just({}), hostile_options)), max_size=4))
def test_no_client_can_add_an_option_or_a_line(given: list[tuple[tuple[str, str], dict[str, object]]]) -> None:
    clients = []
    for (kind, word), more in given:
        try:
            clients.append(Client.model_validate({**more, kind: word}))
        except ValidationError:
            continue
    lines = parse(render(ROOT, [Export(ROOT / "a", FSID, tuple(clients))]))
    assert [path for path, _ in lines] == (["/exports", "/exports/a"] if clients else [])
    for _, found in lines:
        assert set(found) == {word for client in clients for word in addresses(client)}
        assert not any(word.startswith(("-", "*(")) or word in ("*", "") for word in found)
        assert all(ALLOWED.fullmatch(option) for options in found.values() for option in options)


@given(hostile, st.sampled_from(["host", "netgroup", "wildcard"]))
def test_the_renderer_trusts_no_model(word: str, kind: str) -> None:
    client = Client(host="a").model_copy(update={"host": None, kind: word})
    try:
        lines = parse(render(ROOT, [Export(ROOT / "a", FSID, (client,))]))
    except (ValueError, AssertionError):
        return
    assert [len(clients) for _, clients in lines] == 2 * [len(addresses(client))]
    assert not any(address.startswith("-") for _, clients in lines for address in clients)


@pytest.mark.parametrize("name", ["\\040", "\\134", "\\134040", "a\\777b"])
def test_a_name_that_exportfs_would_take_for_another_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="another path"):
        render(ROOT, [Export(ROOT / name, FSID, (OFFICE,))])


def test_a_table_with_names_that_are_no_text_is_read() -> None:
    assert parse_etab("/exports/\udcff\t192.0.2.7(rw)\n") == {("/exports/\udcff", "192.0.2.7")}
