"""The consumer's container: the promises that it keeps on ECS, on Kubernetes and with Docker Compose."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer import settings
from tests.infra import cloudformation
from tests.infra.cluster import VARIANTS, cluster, pods
from tests.infra.dockerfile import ROOT, Dockerfile

#: The consumer ends at most this long after DRAIN_S; a Spot instance, this long after its notice.
LAST_S, SPOT_S = 10, 120
ENGINE_MIB = 2048


@dataclass(frozen=True)
class Container:
    target: str
    user: str
    locked: bool
    reaps_orphans: bool
    gpus: bool
    grace_s: float
    health_port: str
    environment: dict[str, str]
    #: The paths that can be written to, each with its size in MiB and its owner.
    writable: dict[str, tuple[int, str]]
    memory_mib: float = math.inf


def _mib(size: str) -> int:
    return int(size.rstrip("gGmMi")) * (1024 if "g" in size.lower() else 1)


def _tmpfs(options: list[str], size: str) -> tuple[int, str]:
    """Docker gives a mount to root unless its options name a user."""
    named = {"uid": "0", "gid": "0"} | dict(option.split("=") for option in options if "=" in option)
    return _mib(named.get("size", size)), f"{named['uid']}:{named['gid']}"


def _task(**parameters: str | int) -> Container:
    stack = cloudformation.resources("compute-ecs.yaml", **parameters)
    (task,) = stack["TaskDefinition"]["ContainerDefinitions"]
    linux = task["LinuxParameters"]
    mounts = {m["ContainerPath"]: _tmpfs(m["MountOptions"], f"{m['Size']}m") for m in linux["Tmpfs"]}
    return Container(
        target=task["Image"].rpartition(":")[2],
        user=task["User"],
        locked=task["ReadonlyRootFilesystem"]
        and not task["Privileged"]
        and task["DockerSecurityOptions"] == ["no-new-privileges"]
        and linux["Capabilities"] == {"Drop": ["ALL"]},
        reaps_orphans=linux["InitProcessEnabled"],
        gpus="ECS_ENABLE_GPU_SUPPORT=true" in stack["LaunchTemplate"]["LaunchTemplateData"]["UserData"]
        and task["ResourceRequirements"] == [{"Type": "GPU", "Value": 1}],
        grace_s=task["StopTimeout"],
        health_port=re.findall(r"http://127.0.0.1:(\d+)/healthz", task["HealthCheck"]["Command"][-1])[0],
        environment={each["Name"]: each["Value"] for each in task["Environment"]},
        writable={m["ContainerPath"]: (0, "") for m in task.get("MountPoints", [])} | mounts,
        memory_mib=cloudformation.decoded("compute-ecs.yaml")["Parameters"]["TaskMemoryMiB"]["MinValue"],
    )


def _pod(variant: str) -> Container:
    objects = cluster(variant)
    pod = pods(objects)["spec"]
    (container,) = pod["containers"]
    user, rights = pod["securityContext"], container["securityContext"]
    limits = container["resources"]["limits"]
    volumes = {each["name"]: each["emptyDir"]["sizeLimit"] for each in pod["volumes"]}
    own = f"{user['runAsUser']}:{user['fsGroup']}"
    return Container(
        target=container["image"].rpartition(":")[2],
        user=f"{user['runAsUser']}:{user['runAsGroup']}",
        locked=rights["readOnlyRootFilesystem"]
        and not rights["allowPrivilegeEscalation"]
        and rights["capabilities"] == {"drop": ["ALL"]},
        reaps_orphans=pod["shareProcessNamespace"],
        gpus="nvidia.com/gpu" in limits,
        grace_s=pod["terminationGracePeriodSeconds"],
        health_port=str(container["ports"][0]["containerPort"]),
        environment=objects["ConfigMap"]["data"] | {e["name"]: e["value"] for e in container["env"]},
        writable={m["mountPath"]: (_mib(volumes[m["name"]]), own) for m in container["volumeMounts"]},
        memory_mib=_mib(limits["memory"]),
    )


def _service(name: str) -> Container:
    file: Any = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    service = file["services"][name]
    target = service["build"]["target"]
    mounts = (mount.partition(":") for mount in service["tmpfs"])
    return Container(
        target=target,
        user=service.get("user", Dockerfile.read().user(target)),
        locked=service["read_only"]
        and "no-new-privileges:true" in service["security_opt"]
        and service["cap_drop"] == ["ALL"],
        reaps_orphans=service["init"],
        gpus="gpu" in json.dumps(service.get("deploy")),
        grace_s=float(service["stop_grace_period"].removesuffix("s")),
        health_port=service["ports"][0].rpartition(":")[2],
        environment=service["environment"],
        writable={path: _tmpfs(options.split(","), "0") for path, _, options in mounts},
    )


CONTAINERS: dict[str, Callable[[], Container]] = {
    "ecs": _task,
    "ecs without gpu": partial(_task, GpusPerTask=0, ImageTag="cpu"),
    **{f"kubernetes {variant}": partial(_pod, variant) for variant in VARIANTS},
    **{f"compose {name}": partial(_service, name) for name in ("consumer", "consumer-gpu")},
}


@pytest.fixture(params=CONTAINERS)
def container(request: pytest.FixtureRequest) -> Container:
    return CONTAINERS[request.param]()


@pytest.fixture
def configured(container: Container, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> settings.Settings:
    """The settings as the consumer in the container reads them."""
    monkeypatch.chdir(tmp_path)  # without a .env
    for name, value in (container.environment | {"BUCKET_OCR_WORK_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    assert settings.unknown() == []
    return settings.load(settings.Settings)


def test_nothing_runs_as_root_or_can_gain_rights(container: Container) -> None:
    assert container.user == Dockerfile.read().user(container.target) == "10001:10001"
    assert container.locked


def test_only_work_and_tmp_can_be_written_to_and_work_is_the_consumers(container: Container) -> None:
    assert container.writable.keys() == {"/work", "/tmp"}
    assert container.writable["/work"][1] == container.user
    assert container.environment["BUCKET_OCR_WORK_DIR"] == "/work"


def test_the_largest_source_and_pages_fit_into_work_and_an_engine_beside_them(container: Container) -> None:
    largest_mib = settings.Settings.model_fields["max_file_bytes"].default / 1024**2
    assert container.writable["/work"][0] >= 1.5 * largest_mib
    files_mib = sum(size_mib for size_mib, _ in container.writable.values())
    assert container.memory_mib >= files_mib + ENGINE_MIB


def test_a_stopped_consumer_has_time_to_drain_also_on_spot(
    container: Container, configured: settings.Settings
) -> None:
    assert container.grace_s >= configured.drain_s + LAST_S
    assert configured.drain_s + LAST_S <= SPOT_S


def test_the_consumer_understands_its_settings_and_serves_the_port_that_is_asked(
    container: Container, configured: settings.Settings
) -> None:
    assert container.environment["AWS_REGION"]
    assert container.health_port == str(configured.health_port)


def test_probes_from_outside_reach_the_consumer_where_there_are_any(container: Container) -> None:
    image = Dockerfile.read().environment(container.target)
    name = f"{settings.PREFIX}HEALTH_HOST"
    host = (image | container.environment)[name]
    # ECS asks within the container.
    assert host == ("127.0.0.1" if "AWS_EC2_METADATA_DISABLED" in container.environment else "0.0.0.0")


def test_a_gpu_is_insisted_on_if_there_is_one_and_the_image_is_built_for_it(container: Container) -> None:
    assert container.gpus == (container.target == "gpu")
    assert container.gpus == (container.environment.get("BUCKET_OCR_DEVICE") == "gpu")


def test_orphans_of_killed_children_are_collected(container: Container) -> None:
    assert container.reaps_orphans
