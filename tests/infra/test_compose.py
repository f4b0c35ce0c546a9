"""docker-compose.yml: valid, and of one mind with the settings, the image and `make local`."""

import http.server
import json
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy import BUCKET, QUEUE, REGION
from dotenv import dotenv_values
from local_cloud import LocalCloud
from typer.main import get_command

from consumer import settings
from consumer.cli import app
from tests.infra.dockerfile import ROOT, Dockerfile

FILE = ROOT / "docker-compose.yml"
CONSUMERS = ("consumer", "consumer-gpu")
#: What the consumer takes after DRAIN_S, at most.
LAST_S = 10


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


def test_it_is_valid() -> None:
    check = Path(sys.executable).with_name("check-jsonschema")
    run = subprocess.run(
        [check, "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_is_its_image_with_settings(
    services: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = services[name]
    assert not {"command", "entrypoint", "healthcheck", "user"} & consumer.keys()
    assert consumer["build"]["target"] in Dockerfile.read().stages
    assert (ROOT / consumer["build"]["context"] / "Dockerfile").is_file()
    environment = consumer["environment"]
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert settings.unknown() == []
    monkeypatch.setenv("BUCKET_OCR_WORK_DIR", str(tmp_path))  # /work is only there
    loaded = settings.load(settings.Settings)
    assert consumer["ports"][0].endswith(f":{loaded.health_port}")
    assert float(consumer["stop_grace_period"].removesuffix("s")) >= loaded.drain_s + LAST_S


def test_a_copied_env_example_leads_nobody_astray(services: dict[str, Any]) -> None:
    for name in CONSUMERS:
        assert services[name]["env_file"] == [{"path": ".env", "required": False}]
        # Its addresses are those of `make local`.
        assert dotenv_values(ROOT / ".env.example").keys() <= services[name]["environment"].keys()


def test_a_consumer_may_do_little(services: dict[str, Any]) -> None:
    for name in (*CONSUMERS, "demo"):
        service = services[name]
        assert service["read_only"] is service["init"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        written = {path: options for path, _, options in (each.partition(":") for each in service["tmpfs"])}
        assert written.keys() == {"/work", "/tmp"}
        assert {"uid=10001", "gid=10001"} <= set(written["/work"].split(","))
        assert service["environment"]["BUCKET_OCR_WORK_DIR"] == "/work"


def test_nothing_is_open_to_other_machines(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == len({port.split(":")[1] for port in ports}) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    needs = {name: service.get("depends_on") for name, service in services.items()}
    healthy = {"condition": "service_healthy"}
    assert needs == {
        "localstack": None,
        **{name: {"localstack": healthy} for name in CONSUMERS},
        "demo": {"consumer": healthy},
    }
    assert {name for name, service in services.items() if "profiles" not in service} == {
        "localstack",
        "consumer",
    }


def test_the_gpus_are_asked_for(services: dict[str, Any]) -> None:
    (device,) = services["consumer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_the_demo_uploads_a_sample_and_prints_its_text(services: dict[str, Any]) -> None:
    demo = services["demo"]
    assert demo["image"] == services["consumer"]["image"]
    assert demo["entrypoint"] == ["sh", "-ec"]
    (script,) = demo["command"]
    (mount,) = demo["volumes"]
    source, target, mode = mount.split(":")
    assert mode == "ro"
    commands: Any = get_command(app)
    seen = []
    for line in script.splitlines():
        program, name, *arguments = shlex.split(line.replace(target, str(ROOT / source)))
        assert program == "bucket-ocr"
        # It looks for the file, too.
        with commands.commands[name].make_context(name, arguments) as context:
            seen.append((name, context.params))
    (submit, submitted), (get, got) = seen
    assert (submit, get) == ("submit", "get")
    assert submitted["wait"]
    assert submitted["target"] == f"s3://{BUCKET}/"
    assert got["text"]
    assert got["source"] == f"s3://{BUCKET}/{Path(target).name}"


def test_localstack_is_the_one_that_tests_run(services: dict[str, Any]) -> None:
    requirements = (ROOT / "localstack" / "requirements.in").read_text(encoding="utf-8")
    version = requirements.strip().rpartition("==")[2]
    assert services["localstack"]["image"] == f"localstack/localstack:{version}"


@pytest.fixture
def answers() -> Iterator[tuple[int, dict[str, Any]]]:
    """A server on a port that answers every request with the JSON that is put into the dictionary."""
    answer: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port, answer
        server.shutdown()
        thread.join()


def is_healthy(localstack: Mapping[str, Any], port: int) -> bool:
    """Run the health check of LocalStack against this port."""
    kind, program, *arguments = localstack["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    arguments = [argument.replace("127.0.0.1:4566", f"127.0.0.1:{port}") for argument in arguments]
    run = subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, check=False)
    return run.returncode == 0


@pytest.mark.parametrize(("states", "healthy"), [([], False), (["ERROR"], False), (["SUCCESSFUL"], True)])
def test_localstack_is_healthy_once_the_stack_is_deployed(
    services: dict[str, Any], answers: tuple[int, dict[str, Any]], states: list[str], healthy: bool
) -> None:
    port, answer = answers
    answer["scripts"] = [{"stage": "READY", "name": "deploy.py", "state": state} for state in states]
    assert is_healthy(services["localstack"], port) is healthy


class Composed(LocalCloud):
    """LocalStack with the files and the environment that the compose file gives it."""

    def __init__(self, service: Mapping[str, Any]) -> None:
        super().__init__()
        self._service = service

    def _own_environment(self, root: Path, temporary: Path) -> Mapping[str, str]:
        own = super()._own_environment(root, temporary)
        given = self._service["environment"]
        # In all else it is set up as `make local` does it.
        assert {name: own[name] for name in given if name != "LOCALSTACK_HOST"} == {
            name: value for name, value in given.items() if name != "LOCALSTACK_HOST"
        }
        mounts = dict(volume.split(":")[:2] for volume in self._service["volumes"])
        for source, target in mounts.items():
            place = root / target.removeprefix("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
        # What this machine has not: the container's paths, and its port.
        template = root / mounts["./infra/storage.yaml"].removeprefix("/")
        here = {"AWS_ENDPOINT_URL": self.endpoint_url, "BUCKET_OCR_TEMPLATE": str(template)}
        return {**own, **given, **here}


def test_localstack_deploys_the_stack_that_the_consumer_is_pointed_to(services: dict[str, Any]) -> None:
    localstack, environment = services["localstack"], services["consumer"]["environment"]
    with Composed(localstack) as cloud:
        deadline_s = time.monotonic() + 60
        while not is_healthy(localstack, int(cloud.endpoint_url.rpartition(":")[2])):
            assert time.monotonic() < deadline_s
        with closing(cloud.client("sqs")) as queues:
            assert queues.get_queue_url(QueueName=QUEUE)["QueueUrl"] == environment["BUCKET_OCR_QUEUE_URL"]
    assert environment["AWS_REGION"] == REGION
    assert environment["AWS_ENDPOINT_URL"] == f"http://{localstack['environment']['LOCALSTACK_HOST']}"
    assert environment["AWS_ENDPOINT_URL"] == f"http://localstack:{localstack['ports'][0].rpartition(':')[2]}"


def test_localstack_finds_the_template_beside_its_script(services: dict[str, Any]) -> None:
    mounts = dict(volume.split(":")[:2] for volume in services["localstack"]["volumes"])
    script = ROOT / "localstack" / "deploy.py"
    namespace: dict[str, Any] = {"__name__": "as LocalStack runs it, without a __file__"}
    exec(script.read_text(encoding="utf-8"), namespace)
    with pytest.raises(namespace["DeploymentError"], match=mounts["./infra/storage.yaml"]):
        namespace["template_path"]()
