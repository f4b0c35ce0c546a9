"""docker-compose.yml: valid, and in agreement with `make local`. Its containers: `test_containers.py`."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy import BUCKET, QUEUE, REGION
from dotenv import dotenv_values
from local_cloud import LocalCloud
from typer.main import get_command

from consumer.cli import app
from tests.e2e.stack import until
from tests.infra.dockerfile import ROOT

Services = dict[str, Any]

FILE = ROOT / "docker-compose.yml"
READY = "/_localstack/init/ready"


@pytest.fixture(scope="module")
def services() -> Services:
    found: Services = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def test_it_is_valid() -> None:
    check = str(Path(sys.executable).with_name("check-jsonschema"))
    arguments = ["--builtin-schema", "vendor.compose-spec", str(FILE)]
    run = subprocess.run([check, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", ["consumer", "consumer-gpu"])
def test_a_consumer_waits_for_localstack_whatever_is_in_a_copied_env_example(
    services: Services, name: str
) -> None:
    assert services[name]["depends_on"] == {"localstack": {"condition": "service_healthy"}}
    assert services[name]["env_file"] == [{"path": ".env", "required": False}]
    assert dotenv_values(ROOT / ".env.example").keys() <= services[name]["environment"].keys()
    # The image's own.
    assert not {"command", "entrypoint", "healthcheck"} & services[name].keys()


def test_nothing_is_open_to_other_machines_and_a_plain_up_needs_no_gpu(services: Services) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len(ports) == len({port.split(":")[1] for port in ports})
    started = {name for name, service in services.items() if "profiles" not in service}
    assert started == {"localstack", "consumer"}


def test_the_demo_uploads_a_sample_and_prints_its_text_with_no_more_rights(
    services: Services,
) -> None:
    demo = services["demo"]
    for name in ("image", "read_only", "init", "cap_drop", "security_opt", "tmpfs"):
        assert demo[name] == services["consumer"][name]
    assert demo["depends_on"] == {"consumer": {"condition": "service_healthy"}}
    assert demo["entrypoint"] == ["sh", "-ec"]
    source, target, mode = demo["volumes"][0].split(":")
    assert mode == "ro"
    commands: Any = get_command(app)
    parsed = {}
    for line in demo["command"][0].splitlines():
        program, name, *arguments = shlex.split(line.replace(target, str(ROOT / source)))
        assert program == "bucket-ocr"
        # It looks for the file, too.
        parsed[name] = commands.commands[name].make_context(name, arguments).params
    assert list(parsed) == ["submit", "get"]
    assert (parsed["submit"]["wait"], parsed["submit"]["target"]) == (True, f"s3://{BUCKET}/")
    assert (parsed["get"]["text"], list(parsed["get"]["sources"])) == (
        True,
        [f"s3://{BUCKET}/{Path(target).name}"],
    )


# -- LocalStack


def test_localstack_is_the_one_that_tests_run(services: Services) -> None:
    requirements = (ROOT / "localstack" / "requirements.in").read_text(encoding="utf-8")
    version = requirements.strip().rpartition("==")[2]
    assert services["localstack"]["image"] == f"localstack/localstack:{version}"


def _is_healthy(localstack: Mapping[str, Any], url: str) -> bool:
    """Run the health check of LocalStack, which asks this address instead."""
    kind, program, *arguments = localstack["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    arguments = [argument.replace(f"http://127.0.0.1:4566{READY}", url) for argument in arguments]
    run = subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, check=False)
    return run.returncode == 0


@pytest.mark.parametrize(("states", "healthy"), [([], False), (["ERROR"], False), (["SUCCESSFUL"], True)])
def test_localstack_is_healthy_once_the_stack_is_deployed(
    services: Services, tmp_path: Path, states: list[str], healthy: bool
) -> None:
    answer = tmp_path / "ready"
    answer.write_text(json.dumps({"scripts": [{"name": "deploy.py", "state": state} for state in states]}))
    assert _is_healthy(services["localstack"], answer.as_uri()) is healthy


class Composed(LocalCloud):
    """LocalStack with the files and the environment that the compose file gives it."""

    def __init__(self, service: Mapping[str, Any]) -> None:
        super().__init__()
        self._service = service

    def _own_environment(self, root: Path, temporary: Path) -> Mapping[str, str]:
        own = super()._own_environment(root, temporary)
        given = self._service["environment"]
        # In all else it is set up as `make local` does it.
        assert {name for name in given if own[name] != given[name]} == {"LOCALSTACK_HOST"}
        for source, target in (volume.split(":")[:2] for volume in self._service["volumes"]):
            place = root / target.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
        # This machine lacks the container's paths, and its port.
        template = str(place.with_name("storage.yaml"))
        return {**own, **given, "AWS_ENDPOINT_URL": self.endpoint_url, "BUCKET_OCR_TEMPLATE": template}


def test_localstack_deploys_the_stack_that_the_consumer_is_pointed_to(services: Services) -> None:
    localstack, environment = services["localstack"], services["consumer"]["environment"]
    with Composed(localstack) as cloud:
        until(lambda: _is_healthy(localstack, f"{cloud.endpoint_url}{READY}"), 60, "the stack")
        with closing(cloud.client("sqs")) as queues:
            assert queues.get_queue_url(QueueName=QUEUE)["QueueUrl"] == environment["BUCKET_OCR_QUEUE_URL"]
    assert environment["AWS_REGION"] == REGION
    assert environment["AWS_ENDPOINT_URL"] == f"http://{localstack['environment']['LOCALSTACK_HOST']}"
    assert environment["AWS_ENDPOINT_URL"] == f"http://localstack:{localstack['ports'][0].rpartition(':')[2]}"


def test_localstack_finds_the_template_beside_its_script(services: Services) -> None:
    mounts = dict(volume.split(":")[:2] for volume in services["localstack"]["volumes"])
    script = (ROOT / "localstack" / "deploy.py").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "as LocalStack runs it, without a __file__"}
    exec(script, namespace)
    with pytest.raises(namespace["DeploymentError"], match=mounts["./infra/storage.yaml"]):
        namespace["template_path"]()
