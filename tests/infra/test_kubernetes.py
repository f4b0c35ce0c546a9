"""`infra/k8s` as kustomize renders it: every object is valid, and keeps what is promised of it.

Kubernetes' own objects are held against its schemas, those of KEDA and of the Prometheus operator against
their documented fields. `_render` does the few things of kustomize that are used, so that no binary is
needed; where there is one, both have to agree.
"""

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from prometheus_client import CollectorRegistry

from consumer.health import served
from consumer.settings import PREFIX, Settings
from tests.e2e.stack import free_port

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "infra" / "k8s"
LABELS = {"app.kubernetes.io/name": "bucket-ocr"}

#: A kustomization, and whether the components that are commented out in it are taken as well.
VARIANTS = [
    ("base", False),
    ("scaled-object", False),
    ("scaled-object", True),
    ("scaled-job", False),
    ("scaled-job", True),
]

Object = dict[str, Any]


# -- rendering


def _load(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text()))


def _render(folder: Path, objects: list[Object] | None = None) -> list[Object]:
    """What `kubectl kustomize` prints; `objects`: those that a component finds."""
    objects = [] if objects is None else objects
    (told,) = _load(folder / "kustomization.yaml")
    for name in told.pop("resources", []):
        objects += _render(folder / name) if (folder / name).is_dir() else _load(folder / name)
    for name in told.pop("components", []):
        _render(folder / name, objects)
    for patch in told.pop("patches", []):
        _patch(objects, patch)
    if namespace := told.pop("namespace", None):
        _settle(objects, namespace)
    for image in told.pop("images", []):
        _rename(objects, image)
    for replacement in told.pop("replacements", []):
        _replace(objects, replacement)
    for transformer in told.pop("transformers", []):
        for each in _load(folder / transformer):
            assert (each["apiVersion"], each["kind"]) == ("builtin", "PatchTransformer")
            _patch(objects, each)
    assert set(told) == {"apiVersion", "kind"}, "something that is not rendered here"
    return objects


def _settle(objects: list[Object], namespace: str) -> None:
    for each in objects:
        if each["kind"] != "Namespace":
            each["metadata"]["namespace"] = namespace


def _selected(objects: list[Object], select: Object) -> list[Object]:
    assert set(select) <= {"kind", "name"}
    return [
        each
        for each in objects
        if each["kind"] == select["kind"]
        and each["metadata"]["name"] == select.get("name", each["metadata"]["name"])
    ]


def _patch(objects: list[Object], patch: Object) -> None:
    steps = yaml.safe_load(patch["patch"])
    for each in _selected(objects, patch["target"]):
        if isinstance(steps, dict):
            assert steps.pop("$patch") == "delete"
            objects.remove(each)
            return
        for step in steps:
            *parents, last = step["path"].strip("/").split("/")
            place = _at(each, parents)
            if step["op"] in {"remove", "replace"}:
                del place[last]
            if step["op"] in {"add", "replace"}:
                place[last] = step["value"]


def _replace(objects: list[Object], replacement: Object) -> None:
    source = replacement["source"]
    (found,) = _selected(objects, {"kind": source["kind"], "name": source["name"]})
    value = _at(found, source["fieldPath"].split("."))
    for target in replacement["targets"]:
        for each in _selected(objects, target["select"]):
            for path in target["fieldPaths"]:
                *parents, last = path.split(".")
                place = _at(each, parents)
                assert last in place
                place[last] = copy.deepcopy(value)


def _rename(objects: list[Object], image: Object) -> None:
    for each in objects:
        containers = each["spec"]["template"]["spec"]["containers"] if each["kind"] == "Deployment" else []
        for container in containers:
            name, tag = container["image"].rsplit(":", 1)
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"


def _at(place: Any, path: list[str]) -> Any:
    for step in path:
        place = place[int(step) if isinstance(place, list) else step]
    return place


# -- what is rendered


class Cluster:
    """What a kustomization puts into one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = _render(folder)

    def one(self, kind: str) -> Object:
        (found,) = [each for each in self.objects if each["kind"] == kind]
        return found

    @property
    def kinds(self) -> list[str]:
        return sorted(each["kind"] for each in self.objects)

    @property
    def settings(self) -> dict[str, str]:
        found: dict[str, str] = self.one("ConfigMap")["data"]
        return found

    @property
    def template(self) -> Object:
        """The description of the pods."""
        found: Object = (
            self.one("ScaledJob")["spec"]["jobTargetRef"]["template"]
            if "ScaledJob" in self.kinds
            else self.one("Deployment")["spec"]["template"]
        )
        return found

    @property
    def pod(self) -> Object:
        found: Object = self.template["spec"]
        return found

    @property
    def container(self) -> Object:
        (found,) = self.pod["containers"]
        assert isinstance(found, dict)
        return found


def _cluster(folder: Path, overlay: str, *, everything: bool) -> Cluster:
    shutil.copytree(MANIFESTS, folder / "k8s")
    if everything:
        told = folder / "k8s" / overlay / "kustomization.yaml"
        text, lines = re.subn(r"^  # - ", "  - ", told.read_text(), flags=re.MULTILINE)
        assert lines == 2
        told.write_text(text)
    return Cluster(folder / "k8s" / overlay)


@pytest.fixture(params=VARIANTS, ids=lambda variant: variant[0] + "-and-all" * variant[1])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    overlay, everything = request.param
    return _cluster(tmp_path, overlay, everything=everything)


@pytest.fixture
def cluster_of(tmp_path: Path) -> Callable[[str], Cluster]:
    """A kustomization with all of its components."""
    return lambda overlay: _cluster(tmp_path, overlay, everything=overlay != "base")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_kustomize_renders_the_same(cluster: Cluster) -> None:
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(cluster.folder)], capture_output=True, text=True, check=True
    )

    def by_name(each: Object) -> tuple[str, str]:
        return each["kind"], each["metadata"]["name"]

    assert sorted(yaml.safe_load_all(rendered.stdout), key=by_name) == sorted(cluster.objects, key=by_name)


def test_each_way_to_deploy_brings_what_it_needs(cluster_of: Callable[[str], Cluster]) -> None:
    assert cluster_of("base").kinds == [
        "ConfigMap",
        "Deployment",
        "Namespace",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
    ]


# -- validity


def _fields(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Object:
    """An object with these fields, and with no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list_of(items: Object) -> Object:
    return {"type": "array", "items": items, "minItems": 1}


STRING: Object = {"type": "string"}
COUNT: Object = {"type": "integer", "minimum": 0}
DURATION: Object = {"type": "string", "pattern": r"^\d+(ms|s|m|h|d)$"}
NUMERAL: Object = {"type": "string", "pattern": r"^\d+$"}
FLAG: Object = {"enum": ["true", "false"]}

#: KEDA hands the metadata to the scaler as strings; a misspelt one is ignored in silence.
TRIGGER = _fields(
    {
        "type": {"const": "aws-sqs-queue"},
        "metadata": _fields(
            {"queueURL": {"type": "string", "format": "uri"}, "awsRegion": STRING},
            {
                "queueLength": NUMERAL,
                "activationQueueLength": NUMERAL,
                "scaleOnInFlight": FLAG,
                "scaleOnDelayed": FLAG,
                "awsEndpoint": STRING,
            },
        ),
        "authenticationRef": _fields({"name": STRING}),
    },
    {"name": STRING, "metricType": {"enum": ["AverageValue", "Value"]}},
)
SCALING_RULES = _fields(
    {},
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "selectPolicy": {"enum": ["Max", "Min", "Disabled"]},
        "policies": _list_of(
            _fields(
                {
                    "type": {"enum": ["Pods", "Percent"]},
                    "value": {"type": "integer", "minimum": 1},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                }
            )
        ),
    },
)
BEHAVIOR = _fields({}, {"scaleDown": SCALING_RULES, "scaleUp": SCALING_RULES})

#: From https://keda.sh/docs/latest/reference and https://prometheus-operator.dev/docs/api-reference: the
#: fields that somebody might use here, with those that must be there first.
DOCUMENTED: dict[tuple[str, str], Object] = {
    ("keda.sh/v1alpha1", "ScaledObject"): _fields(
        {
            "scaleTargetRef": _fields({"name": STRING}, {"apiVersion": STRING, "kind": STRING}),
            "triggers": _list_of(TRIGGER),
        },
        {
            "pollingInterval": COUNT,
            "cooldownPeriod": COUNT,
            "initialCooldownPeriod": COUNT,
            "minReplicaCount": COUNT,
            "maxReplicaCount": COUNT,
            "advanced": _fields({}, {"horizontalPodAutoscalerConfig": _fields({}, {"behavior": BEHAVIOR})}),
        },
    ),
    ("keda.sh/v1alpha1", "ScaledJob"): _fields(
        {"jobTargetRef": {"type": "object", "required": ["template"]}, "triggers": _list_of(TRIGGER)},
        {
            "pollingInterval": COUNT,
            "minReplicaCount": COUNT,
            "maxReplicaCount": COUNT,
            "successfulJobsHistoryLimit": COUNT,
            "failedJobsHistoryLimit": COUNT,
            "rollout": _fields(
                {},
                {
                    "strategy": {"enum": ["default", "gradual"]},
                    "propagationPolicy": {"enum": ["background", "foreground"]},
                },
            ),
            "scalingStrategy": _fields(
                {}, {"strategy": {"enum": ["default", "accurate", "eager", "custom"]}}
            ),
        },
    ),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): _fields(
        {
            "podIdentity": _fields(
                {"provider": {"const": "aws"}},
                {"roleArn": STRING, "identityOwner": {"enum": ["keda", "workload"]}},
            )
        }
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): _fields(
        {
            "selector": _fields({"matchLabels": {"type": "object"}}),
            "podMetricsEndpoints": _list_of(
                _fields({"port": STRING}, {"path": STRING, "interval": DURATION, "scrapeTimeout": DURATION})
            ),
        },
        {"jobLabel": STRING, "podTargetLabels": _list_of(STRING)},
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _fields(
        {
            "groups": _list_of(
                _fields(
                    {
                        "name": STRING,
                        "rules": _list_of(
                            _fields(
                                {"alert": STRING, "expr": STRING, "labels": _fields({"severity": STRING})},
                                {
                                    "for": DURATION,
                                    "annotations": _fields({"summary": STRING, "description": STRING}),
                                },
                            )
                        ),
                    },
                    {"interval": DURATION},
                )
            )
        }
    ),
}


def _validate(each: Object) -> None:
    """Raise where something is wrong, missing, or unknown."""
    own = DOCUMENTED.get((each["apiVersion"], each["kind"]))
    if own is None:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
        return
    assert set(each) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(each["metadata"]) == {"name", "namespace"}
    jsonschema.validate(each["spec"], own, format_checker=jsonschema.FormatChecker())
    if each["kind"] == "ScaledJob":
        _validate(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": each["metadata"],
                "spec": each["spec"]["jobTargetRef"],
            }
        )


def test_every_object_is_valid(cluster: Cluster) -> None:
    for each in cluster.objects:
        _validate(each)


@pytest.mark.parametrize(
    ("overlay", "kind", "path"),
    [
        ("base", "Deployment", "spec.template.spec.terminationGracePeriodSecond"),
        ("base", "Deployment", "spec.template.spec.containers.0.readinesProbe"),
        ("base", "PodDisruptionBudget", "spec.maxUnavailabl"),
        ("base", "NetworkPolicy", "spec.ingres"),
        ("scaled-object", "ScaledObject", "spec.cooldownPeriodSeconds"),
        ("scaled-object", "ScaledObject", "spec.triggers.0.metadata.queueUrl"),
        ("scaled-object", "TriggerAuthentication", "spec.podIdentity.owner"),
        ("scaled-object", "PodMonitor", "spec.podMetricsEndpoints.0.intervall"),
        ("scaled-object", "PrometheusRule", "spec.groups.0.rules.0.expression"),
        ("scaled-job", "ScaledJob", "spec.jobTargetRef.template.spec.volume"),
        ("scaled-job", "ScaledJob", "spec.jobTargetRef.backoffLimits"),
        ("scaled-job", "ScaledJob", "spec.scalingStrategy.name"),
    ],
)
def test_a_misspelt_field_is_found(
    cluster_of: Callable[[str], Cluster], overlay: str, kind: str, path: str
) -> None:
    each = cluster_of(overlay).one(kind)
    *parents, last = path.split(".")
    _at(each, parents)[last] = "1"
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError), match=last):
        _validate(each)


# -- settings


def test_its_settings_are_settings(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cluster.container["envFrom"] == [
        {"configMapRef": {"name": cluster.one("ConfigMap")["metadata"]["name"]}}
    ]
    # What runs its networks has to be there: a GPU that is missing is no reason to read slowly.
    (device,) = cluster.container["env"]
    has_gpu = "nvidia.com/gpu" in cluster.container["resources"]["limits"]
    assert device == {"name": "BUCKET_OCR_DEVICE", "value": "gpu" if has_gpu else "cpu"}
    named = {name for name in cluster.settings if name.startswith(PREFIX)}
    assert named <= {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(cluster.settings) - named == {"AWS_REGION"}

    for name, value in cluster.settings.items():
        monkeypatch.setenv(name, value)
    # The only one that is about the machine.
    monkeypatch.setenv("BUCKET_OCR_WORK_DIR", str(tmp_path))
    Settings(_env_file=None)


def test_it_is_not_killed_while_it_drains_nor_does_it_drain_longer_than_spot_waits(cluster: Cluster) -> None:
    drain_s = float(cluster.settings["BUCKET_OCR_DRAIN_S"])
    assert cluster.pod["terminationGracePeriodSeconds"] > drain_s + 10
    assert drain_s + 10 < 120


def test_no_service_of_ours_is_taken_for_a_setting(cluster: Cluster) -> None:
    assert cluster.pod["enableServiceLinks"] is False
    assert "Service" not in cluster.kinds


# -- health


async def test_probes_and_prometheus_ask_for_what_is_there(cluster_of: Callable[[str], Cluster]) -> None:
    cluster = cluster_of("scaled-object")
    (port,) = cluster.container["ports"]
    assert str(port["containerPort"]) == cluster.settings["BUCKET_OCR_HEALTH_PORT"]
    asked = {
        name: cluster.container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")
    }
    (asked["prometheus"],) = cluster.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert {each["port"] for each in asked.values()} == {port["name"]}

    number = free_port()
    answers = {}
    async with served(number, CollectorRegistry()), aiohttp.ClientSession() as client:
        for name, each in asked.items():
            async with client.get(f"http://127.0.0.1:{number}{each['path']}") as answer:
                answers[name] = answer.status
    # As a consumer that starts answers: it lives, and is not ready.
    assert answers == {"startup": 200, "liveness": 200, "readiness": 503, "prometheus": 200}


def test_it_may_take_minutes_to_start_and_is_given_time_to_answer(cluster: Cluster) -> None:
    startup = cluster.container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    liveness = cluster.container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60


# -- rights


def test_it_runs_without_rights(cluster: Cluster) -> None:
    user = "10001"
    assert f"USER {user}:{user}" in (ROOT / "Dockerfile").read_text()
    assert cluster.pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(user),
        "fsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert cluster.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert cluster.pod["automountServiceAccountToken"] is False
    account = cluster.one("ServiceAccount")
    assert cluster.pod["serviceAccountName"] == account["metadata"]["name"]
    assert set(account["metadata"]["annotations"]) == {"eks.amazonaws.com/role-arn"}
    namespace = cluster.one("Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in cluster.objects:
        assert each["kind"] == "Namespace" or each["metadata"]["namespace"] == namespace["name"]


def test_it_writes_to_work_and_tmp_alone(cluster: Cluster) -> None:
    volumes = {each["name"]: each["emptyDir"] for each in cluster.pod["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in cluster.container["volumeMounts"]}
    assert set(mounts) == {"/work", "/tmp"}
    assert len(volumes) == len(mounts)
    assert cluster.settings["BUCKET_OCR_WORK_DIR"] == "/work"
    assert mounts["/work"]["medium"] == "Memory"
    # It counts as the pod's memory.
    assert _gib(mounts["/work"]["sizeLimit"]) < _gib(cluster.container["resources"]["limits"]["memory"]) / 2
    assert "sizeLimit" in mounts["/tmp"]


def _gib(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))


def test_only_prometheus_reaches_it_and_it_reaches_only_dns_and_https(cluster: Cluster) -> None:
    policy = cluster.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (port,) = cluster.container["ports"]
    assert policy["ingress"] == [
        {
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "ports": [{"protocol": "TCP", "port": port["name"]}],
        }
    ]
    reached = {(each["protocol"], each["port"]) for rule in policy["egress"] for each in rule["ports"]}
    assert reached == {("UDP", 53), ("TCP", 53), ("TCP", 443)}


def test_whoever_selects_pods_selects_these(cluster: Cluster) -> None:
    assert cluster.template["metadata"]["labels"] == LABELS
    fields = {
        "Deployment": "selector",
        "PodDisruptionBudget": "selector",
        "PodMonitor": "selector",
        "NetworkPolicy": "podSelector",
    }
    for each in cluster.objects:
        if field := fields.get(each["kind"]):
            assert each["spec"][field] == {"matchLabels": LABELS}, each["kind"]


# -- machines and scaling


def test_the_image_is_one_of_the_dockerfile_and_runs_on_what_it_needs(cluster: Cluster) -> None:
    name, target = cluster.container["image"].rsplit(":", 1)
    assert name.endswith("bucket-ocr")
    assert re.search(rf"^FROM \S+ AS {target}$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    resources = cluster.container["resources"]
    gpus = [resources[part].get("nvidia.com/gpu") for part in ("requests", "limits")]
    assert gpus == ([1, 1] if target == "gpu" else [None, None])
    assert ("tolerations" in cluster.pod) == (target == "gpu")
    assert resources["requests"]["memory"] == resources["limits"]["memory"]


def test_nodes_are_not_taken_away_amid_work(cluster: Cluster) -> None:
    assert cluster.template["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    }


@pytest.mark.parametrize(
    ("overlay", "kind"), [("scaled-object", "ScaledObject"), ("scaled-job", "ScaledJob")]
)
def test_keda_watches_the_queue_that_is_consumed_and_scales_from_none(
    cluster_of: Callable[[str], Cluster], overlay: str, kind: str
) -> None:
    cluster = cluster_of(overlay)
    spec = cluster.one(kind)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"] > 0) == (0, True)
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["queueURL"] == cluster.settings["BUCKET_OCR_QUEUE_URL"]
    assert trigger["metadata"]["awsRegion"] == cluster.settings["AWS_REGION"]
    # Without them the last pod goes amid its last document, or another job comes for each that is in work.
    assert trigger["metadata"]["scaleOnInFlight"] == "true"
    authentication = cluster.one("TriggerAuthentication")
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}


def test_a_deployment_leaves_its_number_of_pods_to_keda(cluster_of: Callable[[str], Cluster]) -> None:
    cluster = cluster_of("scaled-object")
    deployment = cluster.one("Deployment")
    assert cluster.one("ScaledObject")["spec"]["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"]
    # A cluster with one GPU can be given a new version.
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    assert cluster.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "BUCKET_OCR_IDLE_EXIT_S" not in cluster.settings


def test_jobs_end_by_themselves_and_stand_alone(cluster_of: Callable[[str], Cluster]) -> None:
    cluster = cluster_of("scaled-job")
    assert not {"Deployment", "PodDisruptionBudget"} & set(cluster.kinds)
    assert float(cluster.settings["BUCKET_OCR_IDLE_EXIT_S"]) > 0
    assert cluster.pod["restartPolicy"] == "Never"
    spec = cluster.one("ScaledJob")["spec"]
    # A deadline would kill what is at work.
    assert set(spec["jobTargetRef"]) == {"parallelism", "completions", "backoffLimit", "template"}
    assert (spec["rollout"]["strategy"], spec["scalingStrategy"]["strategy"]) == ("gradual", "default")
