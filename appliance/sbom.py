"""`python -m appliance.sbom`: what this image consists of, as a CycloneDX document.

Read from what is installed and not from what was asked for: dpkg's database and the metadata of the Python packages.
`docker run --rm --network none holdfast:latest python -m appliance.sbom`
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import Any
from urllib.parse import quote

_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"

Component = dict[str, Any]


def debian_packages(listed: str) -> list[Component]:
    """Return the components in the output of dpkg-query; those that are not fully installed are left out."""
    found = []
    for line in listed.splitlines():
        state, name, version, architecture, source, source_version = line.split("\t")
        if state.strip() == "ii":
            package_url = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={architecture}"
            found.append(_component("library", name, version, package_url)
                         | {"properties": [{"name": "debian:source", "value": f"{source} {source_version}"}]})
    return found


def python_packages() -> list[Component]:
    """Return the Python packages of this interpreter."""
    found = []
    for package in metadata.distributions():
        name = package.metadata["Name"].lower().replace("_", "-")
        component = _component("library", name, package.version, f"pkg:pypi/{name}@{package.version}")
        if given := package.metadata.json.get("license_expression") or package.metadata.json.get("license"):
            component["licenses"] = [{"license": {"name": str(given).splitlines()[0][:100]}}]
        found.append(component)
    return sorted(found, key=lambda each: str(each["name"]))


def document(debian: list[Component], python: list[Component]) -> dict[str, Any]:
    """Return the CycloneDX 1.6 document; without a date or a serial number, so that the same image has the same one."""
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": "holdfast", "name": "holdfast"}},
        "components": [*debian, *python],
    }


def _component(kind: str, name: str, version: str, package_url: str) -> Component:
    return {"type": kind, "bom-ref": package_url, "name": name, "version": version, "purl": package_url}


def main() -> int:
    """Print the document."""
    query = ["dpkg-query", "--show", f"--showformat={_FORMAT}"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    json.dump(document(debian_packages(listed), python_packages()), sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
