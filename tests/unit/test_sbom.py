"""The bill of materials names what is installed, each with a package URL, once."""

from __future__ import annotations

from appliance import sbom

_LISTED = """ii \tlibc6\t2.41-12+deb13u1\tamd64\tglibc\t2.41-12+deb13u1
rc \tgone\t1.0\tamd64\tgone\t1.0
ii \tnfs-kernel-server\t1:2.8.3-1\tamd64\tnfs-utils\t1:2.8.3-1
"""


def test_debian_packages() -> None:
    found = sbom.debian_packages(_LISTED)
    assert [each["name"] for each in found] == ["libc6", "nfs-kernel-server"]
    assert found[1]["purl"] == "pkg:deb/debian/nfs-kernel-server@1%3A2.8.3-1?arch=amd64"
    assert found[1]["properties"][0]["value"] == "nfs-utils 1:2.8.3-1"


def test_python_packages() -> None:
    found = {each["name"]: each for each in sbom.python_packages()}
    assert found["pyfuse3"]["purl"].startswith("pkg:pypi/pyfuse3@3.")
    assert "pydantic-core" in found


def test_the_document() -> None:
    made = sbom.document(sbom.debian_packages(_LISTED), sbom.python_packages())
    references = [each["bom-ref"] for each in made["components"]]
    assert len(set(references)) == len(references)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made == sbom.document(sbom.debian_packages(_LISTED), sbom.python_packages())
