"""`infra/compute-ecs.yaml` by its content: LocalStack has no ECS. Its roles: `test_policies.py`."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cfnlint.decode
import pytest

from consumer import settings

TEMPLATE = Path(__file__).parents[2] / "infra" / "compute-ecs.yaml"
#: How long after DRAIN_S the consumer is gone at the latest.
MARGIN_S = 10


@pytest.fixture(scope="module")
def template() -> Any:
    decoded, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert not problems
    return decoded


@pytest.fixture
def resources(template: Any) -> dict[str, Any]:
    return {name: resource.get("Properties", {}) for name, resource in template["Resources"].items()}


@pytest.fixture
def container(resources: dict[str, Any]) -> Mapping[str, Any]:
    (only,) = resources["TaskDefinition"]["ContainerDefinitions"]
    found: Mapping[str, Any] = only
    return found


@pytest.fixture
def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    variables = [each.get("Fn::If", [None, each])[1] for each in container["Environment"]]
    return {variable["Name"]: variable["Value"] for variable in variables}


def test_there_is_nothing_while_there_is_nothing_to_do(resources: dict[str, Any]) -> None:
    assert resources["Group"]["MinSize"] == "0"
    assert "DesiredCapacity" not in resources["Group"]
    assert resources["ScalableTarget"]["MinCapacity"] == 0
    # Otherwise every update of the service would set its tasks to this, whatever the queue needs.
    assert "DesiredCount" not in resources["Service"]


def test_limits_of_tasks_and_instances_are_one_parameter(resources: dict[str, Any]) -> None:
    limit = {"Ref": "MaxTasks"}
    assert resources["Group"]["MaxSize"] == limit
    assert resources["ScalableTarget"]["MaxCapacity"] == limit


def test_a_stopped_task_has_time_to_drain(
    resources: dict[str, Any], container: Mapping[str, Any], environment: dict[str, Any]
) -> None:
    drain_s = float(environment["BUCKET_OCR_DRAIN_S"])
    assert container["StopTimeout"] >= drain_s + MARGIN_S
    # Spot gives so much notice, and the agent's own limit must not be shorter.
    assert container["StopTimeout"] <= 120
    assert "ECS_CONTAINER_STOP_TIMEOUT=120s" in _user_data(resources)
    assert container["LinuxParameters"]["InitProcessEnabled"] is True


def test_instances_drain_before_they_go(resources: dict[str, Any]) -> None:
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in _user_data(resources)
    group, provider = resources["Group"], resources["CapacityProvider"]["AutoScalingGroupProvider"]
    # ECS hears nothing of instances that rebalancing ends.
    assert group["CapacityRebalance"] is False
    assert (provider["ManagedDraining"], provider["ManagedScaling"]["Status"]) == ("ENABLED", "ENABLED")
    # The first needs the second.
    assert provider["ManagedTerminationProtection"] == "ENABLED"
    assert group["NewInstancesProtectedFromScaleIn"] is True
    assert "AmazonECSManaged" in [tag["Key"] for tag in group["Tags"] if tag["PropagateAtLaunch"]]


def test_spot_comes_on_top_of_an_on_demand_base(template: Any, resources: dict[str, Any]) -> None:
    distribution = resources["Group"]["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["OnDemandBaseCapacity"] == {"Ref": "OnDemandBase"}
    assert distribution["SpotAllocationStrategy"] == "price-capacity-optimized"
    assert template["Parameters"]["OnDemandBase"]["Default"] == 1
    assert template["Parameters"]["OnDemandPercent"]["Default"] == 0
    overrides = resources["Group"]["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert len(overrides) == len(template["Parameters"]["InstanceTypes"]["Default"].split(","))


def test_instances_are_closed(resources: dict[str, Any]) -> None:
    data = resources["LaunchTemplate"]["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpEndpoint": "enabled",
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }
    # The hop limit keeps containers off the role of the instance only while they have a network of their own.
    assert resources["TaskDefinition"]["NetworkMode"] == "bridge"
    assert all(device["Ebs"]["Encrypted"] for device in data["BlockDeviceMappings"])
    assert "KeyName" not in data
    assert "SecurityGroupIngress" not in resources["SecurityGroup"]
    outwards = [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in _egress(resources)]
    assert set(outwards) == {("tcp", 443, 443)}


def test_a_task_can_write_to_memory_only(container: Mapping[str, Any], environment: dict[str, Any]) -> None:
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] == "10001:10001"
    assert container["Privileged"] is False
    assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    mounts = container["LinuxParameters"]["Tmpfs"]
    assert [mount["ContainerPath"] for mount in mounts] == ["/work", "/tmp"]
    # Docker mounts them for root, where nothing else is said.
    assert all({"uid=10001", "gid=10001"} <= set(mount["MountOptions"]) for mount in mounts)
    assert environment["BUCKET_OCR_WORK_DIR"] == "/work"
    assert "MountPoints" not in container


def test_memory_files_and_an_engine_fit_into_a_task(template: Any, container: Mapping[str, Any]) -> None:
    files_mib = sum(mount["Size"] for mount in container["LinuxParameters"]["Tmpfs"])
    assert template["Parameters"]["TaskMemoryMiB"]["MinValue"] >= files_mib + 2048
    # The largest source that is read, and pages beside it.
    work_mib = container["LinuxParameters"]["Tmpfs"][0]["Size"]
    largest_mib = settings.Settings.model_fields["max_file_bytes"].default / 1024**2
    assert work_mib >= 1.5 * largest_mib


def test_gpus_are_reserved_and_insisted_on(
    resources: dict[str, Any], container: Mapping[str, Any], environment: dict[str, Any]
) -> None:
    condition, reserved, _ = container["ResourceRequirements"]["Fn::If"]
    assert (condition, reserved) == ("HasGpus", [{"Type": "GPU", "Value": {"Ref": "GpusPerTask"}}])
    assert environment["BUCKET_OCR_DEVICE"] == {"Fn::If": ["HasGpus", "gpu", "cpu"]}
    assert "ECS_ENABLE_GPU_SUPPORT=${Gpus}" in _user_data(resources)


def test_every_setting_of_the_task_is_one_that_the_consumer_knows(environment: dict[str, Any]) -> None:
    known = {name.upper() for name in settings.Settings.model_fields}
    named = {n.removeprefix(settings.PREFIX) for n in environment if n.startswith(settings.PREFIX)}
    assert named <= known
    assert "QUEUE_URL" in named


def test_health_is_asked_of_the_port_that_is_set(
    container: Mapping[str, Any], environment: dict[str, Any]
) -> None:
    kind, program, flag, code = container["HealthCheck"]["Command"]
    assert (kind, program, flag) == ("CMD", "python", "-c")
    assert f"http://127.0.0.1:{environment['BUCKET_OCR_HEALTH_PORT']}/healthz" in code
    compile(code, "health check", "exec")


def test_logs_are_kept_for_a_while_and_never_block(
    resources: dict[str, Any], container: Mapping[str, Any]
) -> None:
    options = container["LogConfiguration"]["Options"]
    assert (options["awslogs-group"], options["mode"]) == ({"Ref": "LogGroup"}, "non-blocking")
    assert resources["LogGroup"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_a_failed_deployment_goes_back_and_needs_no_second_set_of_gpus(resources: dict[str, Any]) -> None:
    deployment = resources["Service"]["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    # Any floor above zero would forbid stopping the only task, and no other could start beside it.
    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (0, 100)


def _wanted(backlog: int, per_task: int) -> float:
    """Put numbers into the alarm's expression, as CloudWatch does."""
    return math.ceil(backlog / per_task)


def _tasks(policy: Mapping[str, Any], breach: float) -> int:
    """What a step policy with exact capacities does: `breach` is the metric less the alarm's threshold."""
    steps = policy["StepScalingPolicyConfiguration"]["StepAdjustments"]
    (tasks,) = [
        step["ScalingAdjustment"]
        for step in steps
        if step["MetricIntervalLowerBound"] <= breach < step.get("MetricIntervalUpperBound", math.inf)
    ]
    return int(tasks)


def test_tasks_are_as_many_as_are_wanted_from_the_first_document_on(resources: dict[str, Any]) -> None:
    policy, alarm = resources["TasksAsWanted"], resources["WantedAlarm"]
    assert policy["StepScalingPolicyConfiguration"]["AdjustmentType"] == "ExactCapacity"
    assert alarm["AlarmActions"] == [{"Ref": "TasksAsWanted"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    (wanted,) = [m["Expression"]["Fn::Sub"] for m in alarm["Metrics"] if "Expression" in m]
    assert wanted == "CEIL((visible + held) / ${BacklogPerTask})"
    tasks = {
        backlog: _tasks(policy, _wanted(backlog, 50)) for backlog in (1, 50, 51, 100, 151, 200, 201, 5000)
    }
    assert tasks == {1: 1, 50: 1, 51: 2, 100: 2, 151: 4, 200: 4, 201: 6, 5000: 100}
    # Never fewer than wanted, and at most half as many again.
    for wanted_tasks in range(1, 101):
        assert wanted_tasks <= _tasks(policy, wanted_tasks) <= 1.5 * wanted_tasks


def test_nothing_is_divided_by_the_number_of_tasks(resources: dict[str, Any]) -> None:
    # It is zero whenever scaling matters most.
    expressions = [
        metric["Expression"]["Fn::Sub"] if isinstance(metric["Expression"], dict) else metric["Expression"]
        for resource in resources.values()
        for metric in resource.get("Metrics", [])
        if "Expression" in metric
    ]
    divisors = {divisor for e in expressions for divisor in re.findall(r"/ ([^ ,)]+)", e)}
    assert divisors == {"${BacklogPerTask}", "deleted"}
    assert [e for e in expressions if "/ deleted" in e] == ["IF(deleted > 0, received / deleted, received)"]


def test_the_last_task_goes_when_nothing_waits_and_nothing_is_in_work(
    template: Any, resources: dict[str, Any]
) -> None:
    policy, alarm = resources["NoTasks"], resources["EmptyAlarm"]
    assert alarm["AlarmActions"] == [{"Ref": "NoTasks"}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanOrEqualToThreshold", 0)
    assert alarm["EvaluationPeriods"] == {"Ref": "IdleMinutes"}
    periods_s = {m["MetricStat"]["Period"] for m in alarm["Metrics"] if "MetricStat" in m}
    assert periods_s == {60}
    (left,) = [metric["Expression"] for metric in alarm["Metrics"] if "Expression" in metric]
    assert left == "visible + held"
    assert alarm["TreatMissingData"] == "ignore"
    # A step's upper bound belongs to it where it lies below the threshold.
    (step,) = policy["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert step == {"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}
    # CloudWatch looks back a day at most.
    assert template["Parameters"]["IdleMinutes"]["MaxValue"] * 60 <= 86_400


@pytest.mark.parametrize("alarm", ["WantedAlarm", "EmptyAlarm", "NobodyReadsAlarm", "AgainAndAgainAlarm"])
def test_an_alarm_computes_one_number_of_the_queue(resources: dict[str, Any], alarm: str) -> None:
    metrics = {metric["Id"]: metric for metric in resources[alarm]["Metrics"]}
    assert [name for name, metric in metrics.items() if metric.get("ReturnData", True)] == [
        name for name, metric in metrics.items() if "Expression" in metric
    ]
    (expression,) = [m["Expression"] for m in metrics.values() if "Expression" in m]
    text = expression["Fn::Sub"] if isinstance(expression, dict) else expression
    used = set(re.findall(r"\b[a-z]+\b", text))
    assert used == {name for name, metric in metrics.items() if "MetricStat" in metric}
    of_queue = [{"Name": "QueueName", "Value": {"Ref": "QueueName"}}]
    named = {m["MetricStat"]["Metric"]["MetricName"]: m for m in metrics.values() if "MetricStat" in m}
    assert all(metric["MetricStat"]["Metric"]["Dimensions"] == of_queue for metric in named.values())


def test_people_are_told_when_documents_wait_and_nobody_reads(resources: dict[str, Any]) -> None:
    alarm = resources["NobodyReadsAlarm"]
    # Also where a task runs, and ends, again and again. Of what nobody receives a queue tells nothing.
    (expression,) = (m["Expression"] for m in alarm["Metrics"] if "Expression" in m)
    assert expression == "IF(visible > 0 AND FILL(received, 0) == 0 AND FILL(held, 0) == 0, 1, 0)"
    # A start now and then does not make it good.
    assert 0 < alarm["DatapointsToAlarm"] < alarm["EvaluationPeriods"]
    for name in ("NobodyReadsAlarm", "AgainAndAgainAlarm", "UnhealthyAlarm"):
        action, arn, _ = resources[name]["AlarmActions"]["Fn::If"]
        assert (action, arn) == ("HasAlarmTopic", [{"Ref": "AlarmTopicArn"}])


def test_unhealthy_is_what_the_consumer_logs(resources: dict[str, Any]) -> None:
    (event,) = re.findall(r'\$\.event = "(.+)"', resources["UnhealthyFilter"]["FilterPattern"])
    assert f'"{event}"' in (TEMPLATE.parents[1] / "consumer" / "gate.py").read_text(encoding="utf-8")
    (metric,) = resources["UnhealthyFilter"]["MetricTransformations"]
    alarm = resources["UnhealthyAlarm"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])


def test_the_dashboard_is_json_and_shows_what_matters(resources: dict[str, Any]) -> None:
    body = json.loads(re.sub(r"\$\{([^}]+)\}", r"\1", resources["Dashboard"]["DashboardBody"]["Fn::Sub"]))
    shown = json.dumps(body)
    for metric in (
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
        "NumberOfMessagesReceived",
        "NumberOfMessagesDeleted",
        "QueueName-dead-letter",
        "SampleCount",
        "SOURCE 'LogGroup'",
    ):
        assert metric in shown
    places = [(w["x"], w["y"]) for w in body["widgets"]]
    assert len(set(places)) == len(places)


def test_what_cannot_be_known_beforehand_has_no_default(template: Any) -> None:
    parameters = template["Parameters"]
    assert [name for name, p in parameters.items() if "Default" not in p] == [
        "VpcId",
        "SubnetIds",
        "ConsumerPolicyArn",
    ]
    assert all(p["Description"] for p in parameters.values())


def _user_data(resources: dict[str, Any]) -> list[str]:
    script, _ = resources["LaunchTemplate"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]["Fn::Sub"]
    return str(script).splitlines()


def _egress(resources: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = resources["SecurityGroup"]["SecurityGroupEgress"]
    return rules


def test_the_preset_that_an_image_was_built_with_is_not_overruled_by_nothing(
    container: Mapping[str, Any],
) -> None:
    (choice,) = (each["Fn::If"] for each in container["Environment"] if "Fn::If" in each)
    assert choice == [
        "HasPipelineConfig",
        {"Name": "BUCKET_OCR_PIPELINE_CONFIG", "Value": {"Ref": "PipelineConfig"}},
        {"Ref": "AWS::NoValue"},
    ]
