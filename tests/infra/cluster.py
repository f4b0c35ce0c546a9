"""The ways to deploy `infra/k8s`, and the objects that each of them puts into a cluster."""

import re
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.infra.kustomize import render

#: Kustomizations; "+" takes the components as well that are commented out.
VARIANTS = ("base", "scaled-object", "scaled-object+", "scaled-job", "scaled-job+")


def kustomization(variant: str, folder: Path) -> Path:
    """Copy the manifests to a folder, with this variant's components."""
    shutil.copytree(Path(__file__).parents[2] / "infra" / "k8s", folder, dirs_exist_ok=True)
    place = folder / variant.removesuffix("+")
    if variant.endswith("+"):
        steps = place / "kustomization.yaml"
        steps.write_text(re.sub(r"^  # - ", "  - ", steps.read_text(), flags=re.MULTILINE))
    return place


@cache
def cluster(variant: str) -> dict[str, Any]:
    """The objects by kind, of which there is one each."""
    with tempfile.TemporaryDirectory() as folder:
        objects = render(kustomization(variant, Path(folder)))
    by_kind = {each["kind"]: each for each in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def pods(objects: dict[str, Any]) -> Any:
    """The template of the pods."""
    owner = objects.get("Deployment") or {"spec": objects["ScaledJob"]["spec"]["jobTargetRef"]}
    return owner["spec"]["template"]
