"""`infra/k8s` as kustomize renders it. The container: `test_containers.py`; alerts: `test_dashboard.py`."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from prometheus_client import CollectorRegistry

from consumer.health import served
from tests.e2e.stack import free_port
from tests.infra.cluster import VARIANTS, cluster, kustomization, pods
from tests.infra.kustomize import render

Objects = dict[str, Any]

SCALER = r"""
    pollingInterval=\d+ minReplicaCount=\d+ maxReplicaCount=\d+
    triggers.type="aws-sqs-queue" triggers.authenticationRef.name=".+" triggers.metadata.queueURL="https://.+"
    triggers.metadata.awsRegion=".+" triggers.metadata.queueLength="\d+"
    triggers.metadata.(scaleOnInFlight|scaleOnDelayed)="(true|false)"
"""
#: Fields of the objects that Kubernetes has no schema of, with their values as JSON, by
#: https://keda.sh/docs/latest/reference and https://prometheus-operator.dev/docs/api-reference. KEDA itself
#: ignores a misspelt name in the metadata of a trigger.
DOCUMENTED = {
    ("keda.sh/v1alpha1", "ScaledObject"): SCALER
    + r"""
        scaleTargetRef.name=".+" cooldownPeriod=\d+
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds=\d{1,3}
        advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies.(type="Pods"|(value|periodSeconds)=\d{1,3})
    """,
    ("keda.sh/v1alpha1", "ScaledJob"): SCALER
    + r"""
        successfulJobsHistoryLimit=\d+ failedJobsHistoryLimit=\d+ rollout.strategy="(default|gradual)"
        scalingStrategy.strategy="(default|accurate|eager|custom)"
    """,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): 'podIdentity.provider="aws"',
    ("monitoring.coreos.com/v1", "PodMonitor"): r"""
        selector.matchLabels.app.kubernetes.io/name=".+"
        podMetricsEndpoints.port=".+" podMetricsEndpoints.path="/.+" podMetricsEndpoints.interval="\d+(s|m)"
    """,
    ("monitoring.coreos.com/v1", "PrometheusRule"): r"""
        groups.name=".+" groups.rules.alert=".+" groups.rules.expr=".+" groups.rules.for="\d+(s|m|h)"
        groups.rules.labels.severity=".+"
        groups.rules.annotations.summary=".+" groups.rules.annotations.description=".+"
    """,
}


@pytest.fixture(params=VARIANTS)
def objects(request: pytest.FixtureRequest) -> Objects:
    return cluster(request.param)


@pytest.fixture
def pod(objects: Objects) -> Any:
    return pods(objects)["spec"]


@pytest.fixture
def container(pod: Any) -> Any:
    (found,) = pod["containers"]
    return found


# -- the objects


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
@pytest.mark.parametrize("variant", VARIANTS)
def test_kustomize_renders_the_same(variant: str, tmp_path: Path) -> None:
    folder = kustomization(variant, tmp_path)
    printed = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    expected = [json.dumps(each, sort_keys=True) for each in yaml.safe_load_all(printed.stdout)]
    assert sorted(json.dumps(each, sort_keys=True) for each in render(folder)) == sorted(expected)


def _leaves(node: Any, path: str = "") -> Iterator[str]:
    """Every value as `path=JSON`, the items of a list without their indices."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, f"{path}.{name}")
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, path)
    else:
        yield f"{path[1:]}={json.dumps(node)}"


def test_every_object_is_valid_and_has_no_field_that_is_unknown(objects: Objects) -> None:
    for kind, each in objects.items():
        documented, spec = DOCUMENTED.get((each["apiVersion"], kind)), dict(each.get("spec", {}))
        if kind == "ScaledJob":
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": each["metadata"]}
            job["spec"] = spec.pop("jobTargetRef")
            kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
        if documented is None:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)
        else:
            assert spec
            fields = "|".join(documented.split())
            assert [leaf for leaf in _leaves(spec) if not re.fullmatch(fields, leaf)] == []


def test_all_is_in_the_one_namespace_which_admits_only_restricted_pods(objects: Objects) -> None:
    namespace = objects["Namespace"]["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each["metadata"]["namespace"] for kind, each in objects.items() if kind != "Namespace"]
    assert set(others) == {namespace["name"]}


def test_all_that_selects_pods_selects_these(objects: Objects) -> None:
    specs = [each.get("spec", {}) for each in objects.values()]
    selectors = [spec[name]["matchLabels"] for spec in specs for name in spec if "elector" in name]
    assert selectors
    assert all(labels.items() <= pods(objects)["metadata"]["labels"].items() for labels in selectors)


# -- the pod


def test_its_settings_come_from_the_config_map_and_from_no_service(
    objects: Objects, pod: Any, container: Any
) -> None:
    assert container["envFrom"] == [{"configMapRef": {"name": objects["ConfigMap"]["metadata"]["name"]}}]
    # A Service named bucket-ocr puts variables with our prefix into the pod.
    assert pod["enableServiceLinks"] is False
    assert "Service" not in objects


def test_it_has_the_role_of_its_account_and_no_right_in_the_cluster(objects: Objects, pod: Any) -> None:
    account = objects["ServiceAccount"]["metadata"]
    assert pod["serviceAccountName"] == account["name"]
    assert account["annotations"]["eks.amazonaws.com/role-arn"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"


def test_documents_are_in_memory_which_is_not_promised_twice_nor_is_a_gpu(pod: Any, container: Any) -> None:
    media = {each["name"]: each["emptyDir"].get("medium") for each in pod["volumes"]}
    mounts = {mount["mountPath"]: media[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts["/work"] == "Memory"
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    assert requests.items() >= {(name, limits[name]) for name in limits if name != "cpu"}
    # Nodes with GPUs are for pods that need one.
    assert ("tolerations" in pod) == ("nvidia.com/gpu" in limits)


def test_only_prometheus_reaches_it_and_it_reaches_only_dns_and_https(
    objects: Objects, container: Any
) -> None:
    policy = objects["NetworkPolicy"]["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    (way_in,) = policy["ingress"]
    assert [each["port"] for each in way_in["ports"]] == [container["ports"][0]["name"]]
    assert [list(peer["namespaceSelector"]["matchLabels"].values()) for peer in way_in["from"]] == [
        ["monitoring"]
    ]
    # Not port 80, which is that of the node's metadata, and so of its role.
    ways_out = [port for rule in policy["egress"] for port in rule["ports"]]
    assert {(each["protocol"], each["port"]) for each in ways_out} == {("UDP", 53), ("TCP", 53), ("TCP", 443)}


async def test_probes_and_prometheus_are_answered() -> None:
    objects = cluster("scaled-object+")
    (container,) = pods(objects)["spec"]["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    (asked["prometheus"],) = objects["PodMonitor"]["spec"]["podMetricsEndpoints"]
    assert {each["port"] for each in asked.values()} == {container["ports"][0]["name"]}
    port = free_port()
    answers = {}
    async with served("127.0.0.1", port, CollectorRegistry()), aiohttp.ClientSession() as client:
        for name, each in asked.items():
            async with client.get(f"http://127.0.0.1:{port}{each['path']}") as answer:
                answers[name] = answer.status
    # A consumer that starts is alive, and not ready.
    assert answers == {"startup": 200, "liveness": 200, "readiness": 503, "prometheus": 200}


@pytest.mark.parametrize(("probe", "least_s"), [("startup", 300), ("liveness", 60)])
def test_it_has_minutes_to_start_and_a_minute_to_answer(container: Any, probe: str, least_s: int) -> None:
    asked = container[f"{probe}Probe"]
    assert asked["periodSeconds"] * asked["failureThreshold"] >= least_s


# -- scaling


def test_nodes_are_not_emptied_to_save_money_during_work(objects: Objects) -> None:
    annotations = pods(objects)["metadata"]["annotations"]
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


@pytest.mark.parametrize(
    ("variant", "kind"), [("scaled-object", "ScaledObject"), ("scaled-job", "ScaledJob")]
)
def test_keda_watches_the_queue_that_is_consumed_and_scales_from_zero(variant: str, kind: str) -> None:
    objects = cluster(variant)
    settings, spec = objects["ConfigMap"]["data"], objects[kind]["spec"]
    assert spec["minReplicaCount"] == 0 < spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    watched = (trigger["metadata"]["queueURL"], trigger["metadata"]["awsRegion"])
    assert watched == (settings["BUCKET_OCR_QUEUE_URL"], settings["AWS_REGION"])
    # Otherwise the last pod is stopped during its last document, or a document in flight starts a second job.
    assert trigger["metadata"]["scaleOnInFlight"] == "true"
    # Otherwise a long document has one pod, which postpones most of its parts.
    assert trigger["metadata"]["scaleOnDelayed"] == "true"
    assert trigger["authenticationRef"]["name"] == objects["TriggerAuthentication"]["metadata"]["name"]


def test_keda_alone_sets_the_number_of_pods_of_a_deployment() -> None:
    objects = cluster("scaled-object")
    target = objects["ScaledObject"]["spec"]["scaleTargetRef"]["name"]
    assert target == objects["Deployment"]["metadata"]["name"]
    assert "replicas" not in objects["Deployment"]["spec"]
    # A Deployment would start a pod again that ended by itself.
    assert "BUCKET_OCR_IDLE_EXIT_S" not in objects["ConfigMap"]["data"]


def test_a_new_version_needs_no_second_gpu_and_a_single_pod_can_be_drained() -> None:
    objects = cluster("base")
    assert objects["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


def test_jobs_end_by_themselves_and_nothing_ends_them_before() -> None:
    objects = cluster("scaled-job")
    job, spec = objects["ScaledJob"]["spec"]["jobTargetRef"], objects["ScaledJob"]["spec"]
    assert float(objects["ConfigMap"]["data"]["BUCKET_OCR_IDLE_EXIT_S"]) > 0
    assert pods(objects)["spec"]["restartPolicy"] == "Never"
    assert "activeDeadlineSeconds" not in job
    # KEDA starts another job for the rest of a failed one; a changed manifest leaves those at work alone.
    assert (job["backoffLimit"], spec["rollout"]["strategy"]) == (0, "gradual")
    # For counts that include messages in flight; "accurate" is for others.
    assert spec["scalingStrategy"]["strategy"] == "default"
    # A budget cannot count the pods of jobs.
    assert not {"Deployment", "PodDisruptionBudget"} & objects.keys()
