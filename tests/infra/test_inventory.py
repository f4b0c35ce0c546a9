"""SBOM and licences of the images, made from this environment as the build makes them from its own."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import inventory
import pytest

from tests.infra.dockerfile import ROOT, Dockerfile

sys.path.insert(0, str(ROOT / "infra" / "image"))

LOCK = inventory.pinned((ROOT / "infra/image/cpu.txt").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def installed() -> list[Distribution]:
    return [each for each in distributions() if inventory.canonical(each.name) in LOCK]


@pytest.fixture(scope="module")
def made(installed: list[Distribution]) -> tuple[dict[str, Any], str]:
    there = {inventory.canonical(each.name): {each.version} for each in installed}
    return inventory.inventory(installed, there, set())


def test_every_package_of_the_lock_is_in_the_sbom_with_a_licence(made: tuple[dict[str, Any], str]) -> None:
    bom, _ = made
    assert {component["name"] for component in bom["components"]} == LOCK.keys()
    assert all(component["licenses"][0]["expression"] for component in bom["components"])
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")


def test_libraries_that_wheels_carry_are_in_it(made: tuple[dict[str, Any], str]) -> None:
    (opencv,) = [each for each in made[0]["components"] if each["name"] == "opencv-python-headless"]
    carried = {each["name"].split("-")[0]: each.get("licenses") for each in opencv["components"]}
    assert carried["libavcodec"] == [{"expression": "LGPL-2.1-or-later"}]
    assert carried["libcrypto"] == [{"expression": "OpenSSL"}]


def test_the_texts_of_all_licences_are_there(made: tuple[dict[str, Any], str]) -> None:
    bom, licences = made
    for component in bom["components"]:
        assert f" {component['version']}: {component['licenses'][0]['expression']}" in licences
    for words in ("Dual Licensed - GNU AFFERO", "FFmpeg is redistributed within", "Mozilla Public License"):
        assert words in licences


def test_the_label_of_the_image_has_the_licences_of_all(made: tuple[dict[str, Any], str]) -> None:
    bom, _ = made
    (label,) = [each.text for each in Dockerfile.read().all("LABEL", "cpu") if "licenses" in each.text]
    assert bom["metadata"]["component"]["licenses"][0]["expression"] == label.partition("=")[2].strip('"')
    (gpu,) = [each.text for each in Dockerfile.read().all("LABEL", "gpu") if "licenses" in each.text]
    for licence in ("AGPL-3.0-only", "LGPL-2.1-or-later", "MPL-2.0", "LicenseRef-NVIDIA-Proprietary"):
        assert licence in gpu


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_the_build_makes_both_from_the_lock_that_it_installs(image: str) -> None:
    commands = [each.text for each in Dockerfile.read().stages[f"build-{image}"][1] if each.name == "RUN"]
    assert (
        f"infra/image/inventory.py infra/image/{image}.txt /opt/bucket-ocr/share/doc/bucket-ocr"
        in commands[-1]
    )


def test_what_is_not_in_the_lock_ends_the_build(installed: list[Distribution], tmp_path: Path) -> None:
    (one,) = [each for each in installed if each.name == "structlog"]
    (metadata,) = [file for file in one.files or [] if file.name == "METADATA"]
    folder = Path(str(metadata.locate())).parent
    shutil.copytree(folder, tmp_path / "site" / folder.name)
    lock = tmp_path / "lock.txt"

    def run(pinned: str) -> subprocess.CompletedProcess[str]:
        lock.write_text(pinned)
        # Without the packages of this Python.
        return subprocess.run(
            [sys.executable, "-S", str(inventory.__file__), str(lock), str(tmp_path / "out")],
            env={"PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    other = run("structlog==0.1 \\\n    --hash=sha256:00\n")
    assert (other.returncode, "is installed, and the lock has 0.1" in other.stderr) == (1, True)
    # As a lock for several Pythons has it.
    other_python = "structlog==0.1 ; python_full_version >= '3.14'"
    done = run(f"structlog=={one.version} ; python_full_version < '3.14' \\\n{other_python} \\\n")
    assert (done.returncode, done.stderr) == (0, "")
    (component,) = json.loads((tmp_path / "out/sbom.cdx.json").read_text())["components"]
    assert component["purl"] == f"pkg:pypi/structlog@{one.version}"
    assert "MIT" in (tmp_path / "out/THIRD-PARTY-LICENSES.txt").read_text()


@pytest.mark.parametrize("name", ["tests/requirements.txt", "tests/structure/requirements.txt"])
def test_the_versions_that_were_tested_are_constraints_that_pip_takes(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
    # pip refuses constraints with extras, and hashes would be wanted of the project itself too.
    assert lines
    assert not [line for line in lines if "[" in line or "--hash" in line]
