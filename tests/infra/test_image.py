"""The images by what their files say. That they run is seen where they can be built."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client import CollectorRegistry

from consumer import settings
from consumer.cli import app
from consumer.health import served
from tests.e2e.stack import free_port
from tests.infra.dockerfile import ROOT, Dockerfile

IMAGES = ("cpu", "gpu")
LOCKS = {name: ROOT / "infra" / "image" / f"{name}.txt" for name in (*IMAGES, "build")}
EXTRAS = {"cpu": "rapidocr", "gpu": "pp-structurev3"}
TESTED = {"cpu": ROOT / "tests/requirements.txt", "gpu": ROOT / "tests/structure/requirements.txt"}
#: The interpreter and machine of the images.
THEIRS = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}


@pytest.fixture(scope="module")
def dockerfile() -> Dockerfile:
    return Dockerfile.read()


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def pins(lock: Path) -> dict[str, str]:
    """The version of every distribution that pip would install from a lock file."""
    found: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if re.match(r"\w", line):
            requirement = Requirement(line.removesuffix("\\"))
            if requirement.marker is None or requirement.marker.evaluate(THEIRS):
                found[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_starts_the_consumer_as_a_user_without_rights(
    dockerfile: Dockerfile, project: dict[str, Any], image: str
) -> None:
    assert dockerfile.image(image)[-1].name == "USER"
    assert dockerfile.image(image)[-1].text == "10001:10001"
    assert [each.argv() for each in dockerfile.all("ENTRYPOINT", image)] == [["bucket-ocr"]]
    assert [each.argv() for each in dockerfile.all("CMD", image)] == [["run"]]
    assert [each.text for each in dockerfile.all("STOPSIGNAL", image)] == ["SIGTERM"]
    assert "bucket-ocr" in project["scripts"]
    assert "run" in {command.name for command in app.registered_commands}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_writes_to_work_and_tmp_alone(dockerfile: Dockerfile, image: str) -> None:
    environment = dockerfile.environment(image)
    assert environment["BUCKET_OCR_WORK_DIR"] == "/work"
    assert environment["HOME"] == "/tmp"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    owned = [found for each in dockerfile.all("RUN", image) for found in re.findall(r"chown (.*)", each.text)]
    assert owned == ["10001:10001 /work"]
    named = {name for name in environment if name.startswith(settings.PREFIX)}
    assert named <= {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_nothing_that_builds(dockerfile: Dockerfile, image: str) -> None:
    commands = " ".join(each.text for each in dockerfile.all("RUN", image))
    assert not re.search(r"\buv\b|pip install|hatchling|gcc|build-essential|curl|wget", commands)
    assert re.search(r"rm -rf [^&]*/usr/local/bin/pip\*[^&]*/ensurepip[^&]*/site-packages/\*", commands)
    installed = re.findall(r"apt-get install --yes --no-install-recommends (.*?) *&&", commands)
    assert installed == {"cpu": [], "gpu": ["libgomp1"]}[image]
    assert commands.count("apt-get install") == commands.count("rm -rf /var/lib/apt/lists") == len(installed)
    copied = [each.text for each in dockerfile.all("COPY", image)]
    environment = f"--from=build-{image} /opt/bucket-ocr /opt/bucket-ocr"
    assert copied == [environment, *["--from=models /models /models"] * (image == "gpu")]


def test_models_become_part_of_the_image_where_the_consumer_looks_for_them(dockerfile: Dockerfile) -> None:
    environment = dockerfile.environment("gpu")
    assert environment["PADDLE_PDX_CACHE_HOME"] == "/models"
    assert environment["BUCKET_OCR_PIPELINE_CONFIG"] == "$MODELS"
    # Unless they are asked for, there are none: they are a gigabyte.
    assert {each.text for each in dockerfile.all("ARG") if each.text.startswith("MODELS")} == {"MODELS="}
    base, models = dockerfile.stages["models"]
    assert base == dockerfile.stages["gpu"][0]
    assert models[-1].text.count('BUCKET_OCR_PIPELINE_CONFIG="$MODELS" bucket-ocr models pull') == 1


def test_only_paddle_is_installed_without_a_hash(dockerfile: Dockerfile) -> None:
    commands = [command for each in dockerfile.all("RUN") for command in each.text.split("&&")]
    installs = [command.split() for command in commands if "pip install" in command]
    loose = [install for install in installs if "--require-hashes" not in install]
    assert [install[-1] for install in loose] == ["/dist/*.whl", '"$PADDLE"', "/dist/*.whl"]
    # Its index is not the one of the lock files; nothing else comes in another version than is locked.
    assert "infra/image/gpu.txt" in loose[1]
    assert "PADDLE=paddlepaddle-gpu==" in " ".join(each.text for each in dockerfile.all("ARG"))
    assert all("--no-deps" in install for install in (loose[0], loose[2]))


def test_the_locks_are_for_the_interpreter_of_the_images(dockerfile: Dockerfile) -> None:
    bases = {base for base, _ in dockerfile.stages.values()} - dockerfile.stages.keys()
    assert bases == {f"docker.io/library/python:{THEIRS['python_version']}-slim-bookworm"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("LOCK_IMAGE = ")[2].partition("\n\n")[0]
    assert f"--python-version {THEIRS['python_version']}" in recipe


def test_the_build_sees_what_it_copies_and_what_a_wheel_is_made_of(
    dockerfile: Dockerfile, project: dict[str, Any]
) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    seen = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    sources = {
        source
        for each in dockerfile.all("COPY")
        if not each.text.startswith("--from=")
        for source in each.text.split()[:-1]
    }
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(place) for place in seen), source
    assert {"pyproject.toml", "consumer", project["readme"], *project["license-files"]} <= sources


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_hashes_and_no_index(name: str) -> None:
    text = LOCKS[name].read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.findall(r"^-.*", text, flags=re.MULTILINE)
    hashes: dict[str, int] = defaultdict(int)
    for line in text.splitlines():
        if re.match(r"\w", line):
            assert re.match(r"[a-z0-9-]+==\S+ ", line), line
            locked = line
        elif "--hash=sha256:" in line:
            hashes[locked] += 1
    assert hashes.keys() == {line for line in text.splitlines() if re.match(r"\w", line)}


@pytest.mark.parametrize("image", IMAGES)
def test_a_lock_has_what_the_project_wants_in_versions_that_are_tested(
    project: dict[str, Any], image: str
) -> None:
    locked = pins(LOCKS[image])
    wanted = [*project["dependencies"], *project["optional-dependencies"][EXTRAS[image]]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    tested = pins(TESTED[image])
    untested = {name for name, version in locked.items() if tested.get(name) != version}
    assert untested == {"cpu": set(), "gpu": {"opencv-contrib-python-headless"}}[image]


def test_no_image_opens_windows_or_calls_home() -> None:
    cpu, gpu = pins(LOCKS["cpu"]), pins(LOCKS["gpu"])
    assert {name for name in cpu if name.startswith("opencv")} == {"opencv-python-headless"}
    # PaddleX looks for the one; the other, of the same version, is laid over it.
    assert gpu["opencv-contrib-python-headless"] == gpu["opencv-contrib-python"]
    assert not {"openvino-telemetry"} & (cpu.keys() | gpu.keys())


async def test_the_health_check_is_the_consumers_word(dockerfile: Dockerfile) -> None:
    (check,) = dockerfile.all("HEALTHCHECK", "cpu")
    assert dockerfile.all("HEALTHCHECK", "gpu") == [check]
    program, *arguments = check.argv()
    assert program == "python"
    port = free_port()

    async def status(port: int) -> int:
        environment = {**os.environ, "BUCKET_OCR_HEALTH_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment, stderr=subprocess.DEVNULL
        )
        return await process.wait()

    async with served(port, CollectorRegistry()) as health:
        assert await status(port) == 0
        health.alive = lambda: "nothing has moved for 500 s"
        assert await status(port) == 1
    assert await status(port) == 1
    assert await status(0) == 0
