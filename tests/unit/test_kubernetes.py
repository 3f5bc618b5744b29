"""The Kubernetes manifests are what the API server takes: every field is known, and of its type."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from deploy.paths import CHECKOUT

_MANIFESTS = CHECKOUT / "deploy/kubernetes/holdfast.yaml"
_KINDS = ("namespace/holdfast", "service/holdfast", "statefulset/holdfast", "persistentvolumeclaim/holdfast-sources")


def _validate(manifests: Path, version: str) -> subprocess.CompletedProcess[str]:
    program = Path(sysconfig.get_path("scripts")) / "kubernetes-validate"
    return subprocess.run((program, "--strict", "--kubernetes-version", version, manifests),
                          capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", ["1.33", "1.37"])
def test_the_manifests_keep_to_the_schemas(version: str) -> None:
    done = _validate(_MANIFESTS, version)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert all(f"passed for resource {kind} against version {version}" in said for kind in _KINDS), said
    assert said.count("passed") == _MANIFESTS.read_text().count("\nkind: ") == len(_KINDS), said


@pytest.mark.parametrize(("right", "wrong"), [("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: often"),
                                              ("hostUsers: true", "hostUser: true")])
def test_what_is_wrong_is_found(tmp_path: Path, right: str, wrong: str) -> None:
    text = _MANIFESTS.read_text()
    assert right in text
    (tmp_path / "wrong.yaml").write_text(text.replace(right, wrong))
    assert _validate(tmp_path / "wrong.yaml", "1.33").returncode != 0
