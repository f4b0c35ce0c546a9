"""`infra/compute-ecs.yaml` by its content: LocalStack has no ECS. The container: `test_containers.py`."""

import math
import re
from typing import Any

import pytest

from consumer.aws.embedded import FigureLine
from consumer.clock import SystemClock
from consumer.metrics import Metrics
from tests.infra import cloudformation
from tests.infra.dockerfile import ROOT
from tests.infra.permissions import granted

Stack = dict[str, Any]

VISIBLE, HELD = "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"
DELAYED = "ApproximateNumberOfMessagesDelayed"
RECEIVED, DELETED = "NumberOfMessagesReceived", "NumberOfMessagesDeleted"
#: Actions to which IAM knows no resources.
WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"}
#: By the guide of ECS. An instance may do more of its kind; by the last action Spot's notice reaches tasks.
NEEDED = {
    "TaskRole": "ecs:UpdateTaskProtection",
    "ExecutionRole": "ecr:GetAuthorizationToken ecr:BatchCheckLayerAvailability ecr:BatchGetImage "
    "ecr:GetDownloadUrlForLayer logs:CreateLogStream logs:PutLogEvents",
    "InstanceRole": "ecs:RegisterContainerInstance ecs:Poll ecs:UpdateContainerInstancesState",
}


def _stack(**parameters: str | int) -> Stack:
    return cloudformation.resources("compute-ecs.yaml", **parameters)


@pytest.fixture(scope="module")
def parameters() -> Any:
    return cloudformation.decoded("compute-ecs.yaml")["Parameters"]


@pytest.fixture(scope="module")
def stack() -> Stack:
    return _stack(MaxTasks=7, BacklogPerTask=50, AlarmTopicArn="the topic")


def _container(stack: Stack) -> Any:
    (found,) = stack["TaskDefinition"]["ContainerDefinitions"]
    return found


def _agent(stack: Stack) -> dict[str, str]:
    """The settings of the agent of ECS on an instance."""
    script = stack["LaunchTemplate"]["LaunchTemplateData"]["UserData"]
    return dict(re.findall(r"^(ECS_\w+)=(.*)$", script, re.MULTILINE))


# -- the number of tasks and instances


def test_tasks_and_instances_are_from_none_to_max_tasks(stack: Stack) -> None:
    group, target = stack["Group"], stack["ScalableTarget"]
    assert int(group["MinSize"]) == target["MinCapacity"] == 0
    assert group["MaxSize"] == target["MaxCapacity"] == 7
    # Otherwise each update of the stack sets the number, whatever the queue needs.
    assert not {"DesiredCapacity", "DesiredCount"} & (group.keys() | stack["Service"].keys())


def _value(alarm: Any, **queue: float | None) -> float:
    """The number that an alarm compares, computed as CloudWatch does; a silent metric is None."""
    (returned,) = [metric for metric in alarm["Metrics"] if metric.get("ReturnData", True)]
    values = {}
    for each in (each for each in alarm["Metrics"] if each is not returned):
        metric = each["MetricStat"]["Metric"]
        assert metric["Namespace"] == "AWS/SQS"
        assert metric["Dimensions"] == [{"Name": "QueueName", "Value": "bucket-ocr"}]
        values[each["Id"]] = queue[metric["MetricName"]]
    text = re.sub(r"^IF\((.*), (.*), (.*)\)$", r"(\2) if (\1) else (\3)", returned["Expression"])
    functions = {"CEIL": math.ceil, "FILL": lambda value, other: other if value is None else value}
    return float(eval(text.replace(" AND ", " and "), functions, values))


def _tasks(stack: Stack, alarm: str, value: float) -> int | None:
    """The number of tasks that an alarm sets; None while it is quiet."""
    about = stack[alarm]
    over, breach = about["ComparisonOperator"] == "GreaterThanThreshold", value - about["Threshold"]
    assert over or about["ComparisonOperator"] == "LessThanOrEqualToThreshold"
    if (breach > 0) is not over:
        return None
    (action,) = about["AlarmActions"]
    policy = stack[action]["StepScalingPolicyConfiguration"]
    assert policy["AdjustmentType"] == "ExactCapacity"
    for step in policy["StepAdjustments"]:
        lower = step.get("MetricIntervalLowerBound", -math.inf)
        upper = step.get("MetricIntervalUpperBound", math.inf)
        # Above the threshold the lower bound belongs to a step, below it the upper one.
        if lower <= breach < upper if over else lower < breach <= upper:
            return int(step["ScalingAdjustment"])
    raise AssertionError(f"no step of {action} for {value}")


@pytest.mark.parametrize(
    ("visible", "held", "delayed", "tasks"),
    [
        (0, 0, 0, None),
        (1, 0, 0, 1),
        (0, 1, 0, 1),
        (0, 0, 1, 1),
        (50, 0, 0, 1),
        (26, 25, 0, 2),
        (0, 25, 26, 2),
        (151, 0, 0, 4),
        (201, 0, 0, 6),
        (5000, 0, 0, 100),
    ],
)
def test_tasks_follow_the_documents_from_the_first_one_on(
    stack: Stack, visible: int, held: int, delayed: int, tasks: int | None
) -> None:
    value = _value(stack["WantedAlarm"], **{VISIBLE: visible, HELD: held, DELAYED: delayed})
    assert _tasks(stack, "WantedAlarm", value) == tasks


def test_tasks_are_never_fewer_than_wanted_and_at_most_half_as_many_again(stack: Stack) -> None:
    for wanted in range(1, 101):
        assert wanted <= (_tasks(stack, "WantedAlarm", wanted) or 0) <= 1.5 * wanted


def test_the_last_task_goes_when_nothing_waits_and_nothing_is_in_flight(
    stack: Stack, parameters: Any
) -> None:
    alarm = stack["EmptyAlarm"]
    queues = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    left = [_value(alarm, **dict(zip((VISIBLE, HELD, DELAYED), queue, strict=True))) for queue in queues]
    assert [_tasks(stack, "EmptyAlarm", value) for value in left] == [0, None, None, None]
    # A period is a minute, and CloudWatch looks back a day at most.
    assert {metric.get("MetricStat", {}).get("Period", 60) for metric in alarm["Metrics"]} == {60}
    assert alarm["EvaluationPeriods"] == parameters["IdleMinutes"]["Default"]
    assert parameters["IdleMinutes"]["MaxValue"] * 60 <= 86_400
    # SQS is silent about a queue that nobody touches.
    assert alarm["TreatMissingData"] == "ignore"


# -- instances


def test_instances_and_their_agent_let_a_task_drain(stack: Stack) -> None:
    agent, group = _agent(stack), stack["Group"]
    agent_s = int(agent["ECS_CONTAINER_STOP_TIMEOUT"].removesuffix("s"))
    # Spot gives two minutes.
    assert _container(stack)["StopTimeout"] <= agent_s <= 120
    assert agent["ECS_ENABLE_SPOT_INSTANCE_DRAINING"] == "true"
    # ECS hears nothing of instances that rebalancing ends.
    assert group["CapacityRebalance"] is False
    provider = stack["CapacityProvider"]["AutoScalingGroupProvider"]
    assert provider["ManagedScaling"]["Status"] == provider["ManagedDraining"] == "ENABLED"
    # An instance with a task is not scaled in, which needs the group's protection.
    assert provider["ManagedTerminationProtection"] == "ENABLED"
    assert group["NewInstancesProtectedFromScaleIn"] is True
    assert "AmazonECSManaged" in [tag["Key"] for tag in group["Tags"] if tag["PropagateAtLaunch"]]


def test_the_first_instance_is_on_demand_and_the_others_are_spot(stack: Stack, parameters: Any) -> None:
    policy = stack["Group"]["MixedInstancesPolicy"]
    shares = policy["InstancesDistribution"]
    assert (shares["OnDemandBaseCapacity"], shares["OnDemandPercentageAboveBaseCapacity"]) == (1, 0)
    types = [override["InstanceType"] for override in policy["LaunchTemplate"]["Overrides"]]
    assert types == parameters["InstanceTypes"]["Default"].split(",")


def test_a_failed_deployment_goes_back_and_needs_no_second_set_of_gpus(stack: Stack) -> None:
    deployment = stack["Service"]["DeploymentConfiguration"]
    assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    # Any floor above zero forbids to stop the only task, and no other can start beside it.
    assert (deployment["MinimumHealthyPercent"], deployment["MaximumPercent"]) == (0, 100)


@pytest.mark.parametrize(("preset", "given"), [("", []), ("full", ["full"])])
def test_the_preset_of_the_image_is_overruled_only_by_another(preset: str, given: list[str]) -> None:
    variables = _container(_stack(PipelineConfig=preset))["Environment"]
    assert [each["Value"] for each in variables if each["Name"] == "BUCKET_OCR_PIPELINE_CONFIG"] == given


def test_the_encryption_of_results_is_that_of_the_parameters() -> None:
    variables = _container(_stack(Sse="aws:kms", SseKmsKeyId="alias/results"))["Environment"]
    given = {each["Name"]: each["Value"] for each in variables}
    assert given["BUCKET_OCR_SSE"] == "aws:kms"
    assert given["BUCKET_OCR_SSE_KMS_KEY_ID"] == "alias/results"


# -- rights


@pytest.mark.parametrize("name", NEEDED)
def test_a_role_has_the_needed_rights_in_this_stack_and_no_more(stack: Stack, name: str) -> None:
    role, needed = stack[name], set(NEEDED[name].split())
    assert role.get("ManagedPolicyArns", []) == ["ConsumerPolicyArn"] * (name == "TaskRole")
    given = [pair for policy in role["Policies"] for pair in granted(policy["PolicyDocument"])]
    actions = {action for action, _ in given}
    assert needed <= actions if name == "InstanceRole" else needed == actions
    assert not any("*" in action for action in actions)
    own = r"(^Cluster\.Arn|^LogGroup\.Arn|/Cluster/\*|:repository/bucket-ocr)$"
    others = {action for action, resource in given if not re.search(own, resource)}
    assert others <= WITHOUT_RESOURCES


@pytest.mark.parametrize("name", ["TaskRole", "ExecutionRole"])
def test_only_tasks_of_this_account_take_the_roles_of_tasks(stack: Stack, name: str) -> None:
    (statement,) = stack[name]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}


def test_nothing_reaches_an_instance_and_containers_do_not_reach_its_role(stack: Stack) -> None:
    data, network = stack["LaunchTemplate"]["LaunchTemplateData"], stack["SecurityGroup"]
    assert "KeyName" not in data
    assert "SecurityGroupIngress" not in network
    ways_out = {(r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in network["SecurityGroupEgress"]}
    assert ways_out == {("tcp", 443, 443)}
    assert all(device["Ebs"]["Encrypted"] for device in data["BlockDeviceMappings"])
    # One hop ends at the instance if containers have a network of their own.
    options = data["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    assert stack["TaskDefinition"]["NetworkMode"] == "bridge"


# -- for people


def test_logs_end_some_day_and_never_block(stack: Stack) -> None:
    options = _container(stack)["LogConfiguration"]["Options"]
    assert (options["awslogs-group"], options["mode"]) == ("LogGroup", "non-blocking")
    assert stack["LogGroup"]["RetentionInDays"] > 0


@pytest.mark.parametrize(
    ("visible", "received", "held", "abandoned"),
    [(3, None, None, 1), (3, 0, 0, 1), (3, 1, 0, 0), (3, 0, 1, 0), (0, None, None, 0)],
)
def test_people_are_told_when_documents_wait_and_nobody_receives_any(
    stack: Stack, visible: int, received: int | None, held: int | None, abandoned: int
) -> None:
    alarm = stack["NobodyReadsAlarm"]
    assert _value(alarm, **{VISIBLE: visible, RECEIVED: received, HELD: held}) == abandoned
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    # A task that starts and receives now and then does not make it good.
    assert 0 < alarm["DatapointsToAlarm"] < alarm["EvaluationPeriods"]


@pytest.mark.parametrize(("received", "deleted", "tries"), [(12, 4, 3), (9, 0, 9), (0, 0, 0)])
def test_people_are_told_when_messages_are_received_again_and_again(
    stack: Stack, received: int, deleted: int, tries: float
) -> None:
    alarm = stack["AgainAndAgainAlarm"]
    assert _value(alarm, **{RECEIVED: received, DELETED: deleted}) == tries
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 3)


def test_people_are_told_of_a_consumer_that_logs_that_it_is_unhealthy(stack: Stack) -> None:
    (event,) = re.findall(r'\$\.event = "(.+)"', stack["UnhealthyFilter"]["FilterPattern"])
    assert any(f'"{event}"' in path.read_text(encoding="utf-8") for path in (ROOT / "consumer").rglob("*.py"))
    (metric,) = stack["UnhealthyFilter"]["MetricTransformations"]
    alarm = stack["UnhealthyAlarm"]
    assert (metric["MetricNamespace"], metric["MetricName"]) == (alarm["Namespace"], alarm["MetricName"])


def test_people_are_told_of_failures_and_refusals_by_figures_that_the_consumer_logs(stack: Stack) -> None:
    (directive,) = FigureLine(Metrics().registry, "q").fields(SystemClock())["_aws"]["CloudWatchMetrics"]
    logged = {each["Name"] for each in directive["Metrics"]}
    refused = stack["RefusedAlarm"]
    stats = [
        each["MetricStat"]["Metric"] for each in stack["FailuresAlarm"]["Metrics"] if "MetricStat" in each
    ]
    for metric in (refused, *stats):
        assert (metric["Namespace"], metric["MetricName"] in logged) == (directive["Namespace"], True)
        assert [each["Name"] for each in metric["Dimensions"]] == directive["Dimensions"][0]
    assert (refused["Threshold"], refused["ComparisonOperator"]) == (3, "GreaterThanThreshold")


@pytest.mark.parametrize(
    "name", ["NobodyReadsAlarm", "AgainAndAgainAlarm", "UnhealthyAlarm", "FailuresAlarm", "RefusedAlarm"]
)
def test_an_alarm_for_people_goes_to_the_topic_if_there_is_one(stack: Stack, name: str) -> None:
    assert stack[name]["AlarmActions"] == ["the topic"]
    assert "AlarmActions" not in _stack()[name]
