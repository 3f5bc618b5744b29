"""What a share may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from appliance.errors import RequestError
from appliance.model import Client, Share, ShareChanges, fault, overlap

GOOD = {"name": "projects", "source": "/srv/projects"}


def refusal(model: type[BaseModel], **values: object) -> tuple[str | None, str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    error = fault(caught.value.errors())
    return error.field, error.message


def test_a_share_has_a_thousand_clients_and_not_any_number() -> None:
    crowd = [{"host": f"198.18.{number // 250}.{number % 250 + 1}"} for number in range(1025)]
    assert len(Share.model_validate({**GOOD, "clients": crowd[:1024]}).clients) == 1024
    assert refusal(Share, **GOOD, clients=crowd)[0] == "clients"


def test_a_share_is_safe_unless_said_otherwise() -> None:
    share = Share.model_validate({**GOOD, "clients": [{"network": "192.0.2.0/24"}]})
    client = share.clients[0]
    assert (client.access, client.squash, client.secure_ports) == ("ro", "root", True)
    assert (client.security, client.transport, share.sync) == (("sys",), "none", True)
    assert Share.model_validate(GOOD).clients == ()


@pytest.mark.parametrize("model", [Share, Client, ShareChanges])
def test_every_field_is_described(model: type[BaseModel]) -> None:
    properties = model.model_json_schema()["properties"]
    assert [name for name, schema in properties.items() if "description" not in schema] == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "a\\", 'a"', "a(rw)", "ä", "a" * 64, "#a", "a\0"]
)
def test_a_bad_name_is_refused(name: str) -> None:
    assert refusal(Share, name=name, source="/srv")[0] == "name"


@pytest.mark.parametrize(
    "source", ["", "srv", "./srv", "/srv/", "//srv", "/srv/../etc", "/srv/.", "/a\0b", "/a\udcff", "/" + "a" * 4095]
)
def test_a_bad_source_is_refused(source: str) -> None:
    assert refusal(Share, name="a", source=source)[0] == "source"


@pytest.mark.parametrize("source", ["/", "/srv", "/srv/with space", "/srv/new\nline", "/srv/…", "/srv/..."])
def test_an_odd_source_is_a_source(source: str) -> None:
    assert Share(name="a", source=source).source == source


@pytest.mark.parametrize(
    "network", ["", "*", "192.0.2.1/24", "192.0.2.0/33", "fe80::%eth0/64", "example.org", "10/8", "@all"]
)
def test_a_bad_network_is_refused(network: str) -> None:
    assert refusal(Share, **GOOD, clients=[{"network": network}])[0] == "clients.0.network"


@pytest.mark.parametrize(
    "host", ["", "*", "*.org", "a b", "a,b", "a(rw)", "-a", "a..b", "1.2.3", "192.0.2.0/24", "@g", "a\n", "fe80::1%e"]
)
def test_a_bad_host_is_refused(host: str) -> None:
    assert refusal(Share, **GOOD, clients=[{"host": host}])[0] == "clients.0.host"


@pytest.mark.parametrize("netgroup", ["", "@", "@@a", "a b", "a(rw)", "-a", "a,b", "a\n", "a" * 64, "ä"])
def test_a_bad_netgroup_is_refused(netgroup: str) -> None:
    assert refusal(Share, **GOOD, clients=[{"netgroup": netgroup}])[0] == "clients.0.netgroup"


@pytest.mark.parametrize(
    "wildcard",
    ["", "*", "*.*", "?*", "*.org", "*.*.org", "*.example.*", "*example.org", "plain.example.org", "-*.example.org",
     "*.example.org(rw)", "* .example.org", "*.example.org\n", "[a]*.example.org", "*.2.3", "@*.example.org"],
)  # fmt: skip
def test_a_pattern_that_is_bad_or_could_match_the_world_is_refused(wildcard: str) -> None:
    assert refusal(Share, **GOOD, clients=[{"wildcard": wildcard}])[0] == "clients.0.wildcard"


@pytest.mark.parametrize("security", [[], ["sys", "sys"], ["none"], ["krb5,rw"], "sys", None])
def test_bad_flavours_are_refused(security: object) -> None:
    assert str(refusal(Share, **GOOD, clients=[{"host": "a", "security": security}])[0]).startswith(
        "clients.0.security"
    )


@pytest.mark.parametrize(
    "path", ["", "/", "media", "/a/", "/a//b", "/a/../b", "/.a", "/a b", "/a\n", "/ä", "/a(rw)", "/a" * 9]
)
def test_a_bad_nfs_path_is_refused(path: str) -> None:
    assert refusal(Share, **GOOD, nfs_path=path)[0] == "nfs_path"


@pytest.mark.parametrize(
    ("field", "value"),
    [("comment", "two\nlines"), ("comment", "\x1b[2J"), ("comment", "a" * 1025), ("labels", {"": "a"}),
     ("labels", {"a b": "c"}), ("labels", {"a": "b\0"}), ("labels", {str(n): "" for n in range(65)})],
)  # fmt: skip
def test_bad_words_about_a_share_are_refused(field: str, value: object) -> None:
    assert str(refusal(Share, **GOOD, **{field: value})[0]).startswith(field)


def test_a_share_is_found_by_its_name_unless_it_has_a_path() -> None:
    assert Share.model_validate(GOOD).export_path == "/projects"
    assert Share.model_validate({**GOOD, "nfs_path": "/media/films"}).export_path == "/media/films"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"netgroup": "@farm"}, "@farm"),
        ({"netgroup": "farm"}, "@farm"),
        ({"wildcard": "*.Lab.Example.org"}, "*.lab.example.org"),
        ({"wildcard": "n?.example.org"}, "n?.example.org"),
        ({"network": "10.0.0.0/255.0.0.0"}, "10.0.0.0/8"),
        ({"network": "192.0.2.7"}, "192.0.2.7/32"),
        ({"network": "2001:DB8::/32"}, "2001:db8::/32"),
        ({"host": "Build.Example.org"}, "build.example.org"),
        ({"host": "2001:db8:0::1"}, "2001:db8::1"),
    ],
)
def test_addresses_have_one_form(given: dict[str, str], address: str) -> None:
    assert Client.model_validate(given).address == address


@pytest.mark.parametrize("client", [{}, {"network": "10.0.0.0/8", "host": "a"}])
def test_a_client_is_a_network_or_a_host(client: dict[str, str]) -> None:
    field, message = refusal(Share, **GOOD, clients=[client])
    assert field == "clients.0"
    assert "exactly one" in message


def test_a_client_is_there_once() -> None:
    clients = [{"network": "10.0.0.0/8"}, {"network": "10.0.0.0/255.0.0.0", "access": "rw"}]
    assert refusal(Share, **GOOD, clients=clients) == ("clients", "clients: 10.0.0.0/8 is there twice")


@pytest.mark.parametrize("value", [-1, 2**32 - 1, "root"])
def test_an_id_that_is_none_is_refused(value: object) -> None:
    assert refusal(Share, **GOOD, clients=[{"host": "a", "anonuid": value}])[0] == "clients.0.anonuid"


def test_unknown_fields_are_refused() -> None:
    assert refusal(Share, **GOOD, wdelay=False)[0] == "wdelay"
    assert refusal(ShareChanges, name="other")[0] == "name"


def test_changes_touch_what_is_given_and_nothing_else() -> None:
    share = Share(name="a", source="/srv", workers=4, clients=(Client(host="a"),))
    assert ShareChanges.model_validate({"workers": None}).apply(share) == share.model_copy(update={"workers": None})
    assert ShareChanges().apply(share) == share
    for_the_wire = ShareChanges.model_validate_json(ShareChanges(enabled=False).model_dump_json())
    assert for_the_wire.apply(share) == share.model_copy(update={"enabled": False})


@pytest.mark.parametrize("changes", [{"source": None}, {"clients": None}, {"enabled": None}])
def test_the_result_of_changes_is_checked(changes: dict[str, object]) -> None:
    with pytest.raises(RequestError) as caught:
        ShareChanges.model_validate(changes).apply(Share.model_validate(GOOD))
    assert caught.value.field == next(iter(changes))


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [("/a", "/a", True), ("/a", "/a/b", True), ("/a/b", "/a", True), ("/", "/a", True), ("/a", "/ab", False)],
)
def test_overlap(one: str, other: str, together: bool) -> None:
    assert overlap(one, other) is together


@given(st.text())
def test_whatever_is_a_name_is_a_plain_word(name: str) -> None:
    try:
        share = Share(name=name, source="/srv")
    except ValidationError:
        return
    assert share.name.isascii()
    assert "/" not in share.name
    assert share.name.split() == [share.name]
