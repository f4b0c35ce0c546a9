"""The images by the content of their files. That they run is seen where they can be built."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
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
from tests.infra import cloudformation
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


def _versions(lock: Path) -> dict[str, str]:
    """The version of every distribution that is installed from a lock file."""
    lines = re.findall(r"^\w[^\\\n]*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate(THEIRS)]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in wanted}


# -- the image


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_starts_the_consumer_as_a_user_without_rights(
    dockerfile: Dockerfile, project: dict[str, Any], image: str
) -> None:
    # Nothing after USER, which would be root's.
    last = dockerfile.image(image)[-1]
    assert (last.name, last.text) == ("USER", "10001:10001")
    (program,), (command,) = (dockerfile.all(name, image)[-1].argv() for name in ("ENTRYPOINT", "CMD"))
    assert program in project["scripts"]
    assert command in {each.name for each in app.registered_commands}
    assert [each.text for each in dockerfile.all("STOPSIGNAL", image)] == ["SIGTERM"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_needs_to_write_to_work_and_tmp_alone(dockerfile: Dockerfile, image: str) -> None:
    environment = dockerfile.environment(image)
    assert (environment["BUCKET_OCR_WORK_DIR"], environment["HOME"]) == ("/work", "/tmp")
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    commands = [c.split() for each in dockerfile.all("RUN", image) for c in each.text.split("&&")]
    assert [command[2:] for command in commands if command[0] == "chown"] == [["/work"]]
    named = {name for name in environment if name.startswith(settings.PREFIX)}
    assert named <= {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}


@pytest.mark.parametrize(("image", "packages"), [("cpu", []), ("gpu", ["libgomp1"])])
def test_an_image_holds_nothing_that_builds_or_installs(
    dockerfile: Dockerfile, image: str, packages: list[str]
) -> None:
    commands = " ".join(each.text for each in dockerfile.all("RUN", image))
    assert not re.search(r"\buv\b|pip install|hatchling|gcc|build-essential|curl|wget", commands)
    assert re.search(r"rm -rf [^&]*/usr/local/bin/pip\*[^&]*/ensurepip[^&]*/site-packages/\*", commands)
    assert re.findall(r"apt-get install --yes --no-install-recommends (.*?) *&&", commands) == packages
    assert commands.count("apt-get install") == commands.count("rm -rf /var/lib/apt/lists") == len(packages)
    # Of the stages that build, it has the environment and the models.
    copied = {each.text.split()[1] for each in dockerfile.all("COPY", image)}
    assert copied <= {"/opt/bucket-ocr", "/models"}


@pytest.mark.parametrize("image", IMAGES)
def test_the_consumer_looks_for_models_at_their_place_in_the_image(
    dockerfile: Dockerfile, image: str
) -> None:
    environment = dockerfile.environment(image)
    assert environment["PADDLE_PDX_CACHE_HOME"] == "/models"
    assert f"--from={image}-models /models /models" in {each.text for each in dockerfile.all("COPY", image)}
    # It reads with what was pulled; there is none by default, since models are large.
    arguments = {each.text for each in dockerfile.all("ARG", image)}
    assert environment["BUCKET_OCR_LANGUAGES"] == "$LANGUAGES"
    assert "LANGUAGES=" in arguments
    base, models = dockerfile.stages[f"{image}-models"]
    assert base == dockerfile.stages[image][0]
    assert 'BUCKET_OCR_LANGUAGES="$LANGUAGES" bucket-ocr models pull' in models[-1].text
    if image == "gpu":
        assert environment["BUCKET_OCR_PIPELINE_CONFIG"] == "$MODELS"
        assert "MODELS=" in arguments
        assert 'BUCKET_OCR_PIPELINE_CONFIG="$MODELS"' in models[-1].text


def test_the_build_sees_its_sources_and_those_of_the_wheel(
    dockerfile: Dockerfile, project: dict[str, Any]
) -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignore
    seen = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copies = [each.text for each in dockerfile.all("COPY") if not each.text.startswith("--from=")]
    sources = {source for copy in copies for source in copy.split()[:-1]}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(Path(source).is_relative_to(place) for place in seen), source
    assert {"pyproject.toml", "consumer", project["readme"], *project["license-files"]} <= sources


def _health_checks() -> dict[str, list[str]]:
    stack = cloudformation.resources("compute-ecs.yaml")
    (task,) = stack["TaskDefinition"]["ContainerDefinitions"]
    images = {image: Dockerfile.read().all("HEALTHCHECK", image)[-1].argv() for image in IMAGES}
    return images | {"ecs": task["HealthCheck"]["Command"][1:]}


@pytest.mark.parametrize("name", [*IMAGES, "ecs"])
async def test_a_health_check_passes_the_word_of_the_consumer(name: str) -> None:
    program, *arguments = _health_checks()[name]
    assert program == "python"
    # An image's check passes over proxies.
    others = {} if name == "ecs" else {"http_proxy": "http://127.0.0.1:1"}

    async def status(port: int) -> int:
        code = [argument.replace(":8080/", f":{port}/") for argument in arguments]
        environment = {**os.environ, **others, "BUCKET_OCR_HEALTH_PORT": str(port)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *code, env=environment, stderr=subprocess.DEVNULL
        )
        return await process.wait()

    port = free_port()
    async with served("127.0.0.1", port, CollectorRegistry()) as health:
        assert await status(port) == 0
        health.alive = lambda: "nothing has moved for 500 s"
        assert await status(port) == 1
    assert await status(port) == 1
    # Without a port, nobody can be asked; a task always has one.
    assert name == "ecs" or await status(0) == 0


# -- the locks


def test_only_paddle_is_installed_without_a_hash(dockerfile: Dockerfile) -> None:
    commands = [command for each in dockerfile.all("RUN") for command in each.text.split("&&")]
    installs = [command.split() for command in commands if "pip install" in command]
    loose = [install for install in installs if "--require-hashes" not in install]
    ours = [install for install in loose if install[-1] == "/dist/*.whl"]
    assert all("--no-deps" in install for install in ours)
    # Paddle has an index of its own: its version is fixed, and its dependencies are the locked ones.
    (paddle,) = [install for install in loose if install not in ours]
    assert paddle[-1] == '"$PADDLE"'
    assert paddle[paddle.index("--constraints") + 1] == "infra/image/gpu.txt"
    assert any(re.fullmatch(r"PADDLE=paddlepaddle-gpu==[\d.]+", each.text) for each in dockerfile.all("ARG"))


def test_the_locks_are_for_the_interpreter_of_the_images(dockerfile: Dockerfile) -> None:
    (base,) = {base for base, _ in dockerfile.stages.values()} - dockerfile.stages.keys()
    assert re.search(r"/python:(\d+\.\d+)-slim", base)[1] == THEIRS["python_version"]  # type: ignore[index]
    recipe = (
        (ROOT / "Makefile").read_text(encoding="utf-8").partition("LOCK_IMAGE = ")[2].partition("\n\n")[0]
    )
    assert f"--python-version {THEIRS['python_version']}" in recipe


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_version_and_hashes_for_everything_and_no_index(name: str) -> None:
    text = LOCKS[name].read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.findall(r"^-.*", text, re.MULTILINE)
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.parametrize(("image", "untested"), [("cpu", set()), ("gpu", {"opencv-contrib-python-headless"})])
def test_an_image_holds_the_tested_versions_of_all_that_the_project_needs(
    project: dict[str, Any], image: str, untested: set[str]
) -> None:
    locked, tested = _versions(LOCKS[image]), _versions(TESTED[image])
    wanted = [*project["dependencies"], *project["optional-dependencies"][EXTRAS[image]]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    assert {name for name, version in locked.items() if tested.get(name) != version} == untested


def test_no_image_opens_windows_or_calls_home() -> None:
    cpu, gpu = _versions(LOCKS["cpu"]), _versions(LOCKS["gpu"])
    assert {name for name in cpu if name.startswith("opencv")} == {"opencv-python-headless"}
    # PaddleX looks for the one with windows; the other, of the same version, is laid over it.
    assert gpu["opencv-contrib-python-headless"] == gpu["opencv-contrib-python"]
    assert "openvino-telemetry" not in cpu.keys() | gpu.keys()
