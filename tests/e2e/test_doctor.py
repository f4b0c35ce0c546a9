"""`bucket-ocr doctor` on a stack that works, and on stacks that were broken on purpose."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from local_cloud import LocalCloud

from tests.e2e import in_process
from tests.e2e.proxy import FaultProxy, answer
from tests.e2e.stack import RESULT_S, Stack, bucket_ocr, until

Finding = dict[str, str]


class Doctor:
    """The command, asked about one stack."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self._folder = folder

    def __call__(self, *arguments: str, **variables: str) -> tuple[int, list[Finding]]:
        """Return the exit status and the findings that are not ok."""
        environment = self.stack.environment(ENGINE="rapidocr") | variables
        done = in_process.bucket_ocr(environment, self._folder, "doctor", "--json", *arguments)
        assert done.stderr == ""
        findings: list[Finding] = json.loads(done.stdout)
        return done.returncode, [finding for finding in findings if finding["level"] != "ok"]

    def faults(self, *arguments: str, **variables: str) -> list[Finding]:
        status, findings = self(*arguments, **variables)
        faults = [finding for finding in findings if finding["level"] == "fault"]
        assert status == (1 if faults else 0)
        return faults

    def follow(self, command: str) -> None:
        """Run a remedy that is a command of the AWS client."""
        words = shlex.split(command)
        assert words[0] == "aws"
        # For SQS it does not look at AWS_ENDPOINT_URL.
        words[:1] = [
            str(Path(sys.executable).with_name("aws")),
            "--endpoint-url",
            self.stack.cloud.endpoint_url,
        ]
        done = subprocess.run(
            words, env=self.stack.environment(), check=False, timeout=300, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def notify(self, configuration: Any) -> None:
        self.stack.s3.put_bucket_notification_configuration(
            Bucket=self.stack.bucket, NotificationConfiguration=configuration
        )

    def attribute(self, name: str, value: str = "") -> str:
        """Set an attribute of the queue, if a value is given; returns the former one."""
        sqs: Any = self.stack.sqs  # its stubs know the attributes by name only
        url = self.stack.queue_url
        former = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"].get(name, "")
        if value:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})
        return str(former)


@pytest.fixture(scope="module")
def doctor(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    """One stack for all tests; each repairs what it has broken."""
    with Stack.deployed(cloud, "doctor") as stack:
        yield Doctor(stack, tmp_path_factory.mktemp("doctor"))


@pytest.fixture
def rule(doctor: Doctor) -> Iterator[Callable[..., None]]:
    """Replace the rules of the bucket by one; the former ones come back."""
    former = doctor.stack.s3.get_bucket_notification_configuration(Bucket=doctor.stack.bucket)
    queue_arn = doctor.attribute("QueueArn")

    def change(event: str = "s3:ObjectCreated:*", **filters: str) -> None:
        rules = [{"Name": name, "Value": value} for name, value in filters.items()]
        rule = {
            "Id": "mine",
            "QueueArn": queue_arn,
            "Events": [event],
            "Filter": {"Key": {"FilterRules": rules}},
        }
        doctor.notify({"QueueConfigurations": [rule]})

    yield change
    doctor.notify({"QueueConfigurations": former["QueueConfigurations"]})


def test_a_stack_that_works_has_no_fault_and_no_message_is_touched(doctor: Doctor, tmp_path: Path) -> None:
    message_id = doctor.stack.send("must not be received")
    status, findings = doctor()
    assert (status, [finding["check"] for finding in findings]) == (0, ["results"])
    assert findings[0]["subject"] == f"s3://{doctor.stack.bucket}/"
    assert "results come back as events" in findings[0]["message"]
    assert "rules with suffixes (.pdf" in findings[0]["remedy"]
    plain = bucket_ocr(doctor.stack.environment(ENGINE="rapidocr"), tmp_path, "doctor")
    assert plain.returncode == 0
    assert f"ok      policy: {doctor.stack.queue_url} takes events of {doctor.stack.bucket}" in plain.stdout
    (seen,) = [m for m in doctor.stack.cloud.messages(doctor.stack.queue_url) if m.message_id == message_id]
    assert (seen.receive_count, seen.visible) == (0, True)


def test_a_bucket_without_notification_is_a_fault(doctor: Doctor, rule: Callable[..., None]) -> None:
    doctor.notify({})
    (fault,) = doctor.faults()
    assert (fault["check"], fault["message"]) == ("notification", "sends no events to this queue")
    added = json.loads(fault["remedy"][fault["remedy"].index("{") :])
    doctor.notify({"QueueConfigurations": [added]})
    assert doctor.faults() == []


def test_a_notification_for_results_only_is_a_fault(doctor: Doctor, rule: Callable[..., None]) -> None:
    rule(suffix=".json")
    (fault,) = doctor.faults()
    assert fault["check"] == "results"
    assert "mine is for keys that end in '.json': results, not documents" in fault["message"]
    rule(suffix=".pdf")
    assert doctor.faults() == []


@pytest.mark.parametrize(
    ("event", "prefix", "message"),
    [
        ("s3:ObjectCreated:Put", "", "sends events for s3:ObjectCreated:Put only"),
        ("s3:ObjectCreated:*", "scans/", "sends events for uploads under 'scans/' only"),
    ],
)
def test_a_notification_that_leaves_uploads_out_is_a_fault(
    doctor: Doctor, rule: Callable[..., None], event: str, prefix: str, message: str
) -> None:
    rule(event, prefix=prefix)
    (fault,) = doctor.faults(f"s3://{doctor.stack.bucket}/")
    assert fault["message"].startswith(message)


def test_a_queue_without_policy_is_a_fault(doctor: Doctor) -> None:
    former = doctor.attribute("Policy", '{"Version": "2012-10-17", "Statement": []}')
    (fault,) = doctor.faults(f"s3://{doctor.stack.bucket}")
    assert fault["message"] == f"has no policy that lets S3 send the events of {doctor.stack.bucket}"
    added = json.loads(fault["remedy"][fault["remedy"].index("{") :])
    doctor.attribute("Policy", json.dumps({"Version": "2012-10-17", "Statement": [added]}))
    assert doctor.faults() == []
    doctor.attribute("Policy", former)


def test_a_queue_without_redrive_is_a_fault(doctor: Doctor) -> None:
    former = json.loads(doctor.attribute("RedrivePolicy"))
    doctor.stack.sqs.set_queue_attributes(QueueUrl=doctor.stack.queue_url, Attributes={"RedrivePolicy": ""})
    (fault,) = doctor.faults()
    assert (fault["check"], "no dead-letter queue" in fault["message"]) == ("redrive", True)
    doctor.follow(fault["remedy"].replace("ARN of a queue for them", former["deadLetterTargetArn"]))
    assert doctor.faults() == []


def test_a_wrong_region_is_a_fault(doctor: Doctor) -> None:
    faults = doctor.faults(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1")
    assert faults[0] == {
        "check": "region",
        "level": "fault",
        "subject": "AWS_REGION",
        "message": "is eu-west-1, and the queue is in us-east-1",
        "remedy": "export AWS_REGION=us-east-1",
    }


def test_a_missing_queue_or_bucket_is_a_fault(doctor: Doctor) -> None:
    (queue,) = doctor.faults(BUCKET_OCR_QUEUE_URL=f"{doctor.stack.queue_url}-gone")
    assert (queue["check"], queue["message"]) == ("queue", "does not exist")
    faults = doctor.faults("s3://nobody-has-this-bucket")
    assert ("notification", "does not exist") in [(fault["check"], fault["message"]) for fault in faults]


def test_a_device_that_the_engine_cannot_use_is_a_fault(doctor: Doctor) -> None:
    (fault,) = doctor.faults(BUCKET_OCR_DEVICE="gpu")
    assert (fault["check"], fault["subject"]) == ("engine", "BUCKET_OCR_DEVICE=gpu")
    assert "rapidocr needs onnxruntime-gpu for GPUs: pip install '.[rapidocr-gpu]'" in fault["message"]


def test_a_service_that_does_not_answer_is_a_fault_beside_all_other_findings(doctor: Doctor) -> None:
    faults = doctor.faults(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert [(fault["check"], fault["subject"]) for fault in faults] == [("queue", doctor.stack.queue_url)]
    assert "could not be asked" in faults[0]["message"]
    assert "AWS_ENDPOINT_URL" in faults[0]["remedy"]


def test_without_a_region_it_is_the_doctor_that_says_so(doctor: Doctor, tmp_path: Path) -> None:
    environment = doctor.stack.environment(ENGINE="rapidocr")
    url = "https://sqs.eu-central-1.amazonaws.com/123456789012/inbox"
    environment |= {"BUCKET_OCR_QUEUE_URL": url}
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        environment.pop(name, None)
    done = bucket_ocr(environment, tmp_path, "doctor", "--json")
    faults = [finding for finding in json.loads(done.stdout) if finding["level"] == "fault"]
    assert (faults[0]["check"], faults[0]["remedy"]) == ("region", "export AWS_REGION=eu-central-1")
    assert (done.returncode, faults[1]["check"]) == (1, "queue")


def test_a_missing_setting_is_2_and_a_finding(doctor: Doctor, tmp_path: Path) -> None:
    environment = doctor.stack.environment(ENGINE="rapidocr") | {"BUCKET_OCR_QUEUE_URL": ""}
    unset = bucket_ocr(environment, tmp_path, "doctor", "--json")
    problem = "BUCKET_OCR_QUEUE_URL is not set"
    assert (unset.returncode, unset.stderr) == (2, f"bucket-ocr: {problem}\n")
    (finding,) = json.loads(unset.stdout)
    assert (finding["check"], finding["level"], finding["message"]) == ("settings", "fault", problem)


def test_the_doctor_and_the_cloud_agree_on_a_prefix_with_special_characters(
    doctor: Doctor, rule: Callable[..., None]
) -> None:
    rule(prefix="dt%3D2026/")
    (encoded,) = doctor.stack.s3.get_bucket_notification_configuration(Bucket=doctor.stack.bucket)[
        "QueueConfigurations"
    ]
    uri = f"s3://{doctor.stack.bucket}"
    assert doctor.faults(f"{uri}/dt=2026/") == []
    assert [fault["check"] for fault in doctor.faults(f"{uri}/dt=2025/")] == ["notification"]
    filters = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "dt=2025/"}]}}
    doctor.notify({"QueueConfigurations": [encoded, encoded | {"Id": "raw", "Filter": filters}]})
    (fault,) = doctor.faults(f"{uri}/dt=2025/")
    assert fault["remedy"] == "make its filter dt%3D2025/"

    def is_announced(key: str) -> bool:
        messages = doctor.stack.cloud.messages(doctor.stack.queue_url)
        return any(quote(key) in message.body for message in messages)

    for year in (2025, 2026):
        doctor.stack.put(f"dt={year}/a.pdf", b"%PDF-")
    until(lambda: is_announced("dt=2026/a.pdf"), RESULT_S, "the event of an upload")
    assert not is_announced("dt=2025/a.pdf")


def test_a_write_is_proved_and_leaves_nothing_but_a_test_event(doctor: Doctor) -> None:
    before = doctor.stack.keys()
    status, findings = doctor("--write", f"s3://{doctor.stack.bucket}/in/")
    assert (status, [finding for finding in findings if finding["check"] == "write"]) == (0, [])
    assert doctor.stack.keys() == before
    bodies = [message.body for message in doctor.stack.cloud.messages(doctor.stack.queue_url)]
    assert sum("bucket-ocr doctor" in body for body in bodies) == 1


@pytest.mark.parametrize(
    ("operation", "permission"),
    [("PutObject", "s3:PutObject"), ("DeleteObject", "s3:DeleteObject"), ("SendMessage", "sqs:SendMessage")],
)
def test_a_write_that_is_refused_is_a_fault_that_names_the_permission(
    doctor: Doctor, operation: str, permission: str
) -> None:
    with FaultProxy(doctor.stack.cloud.endpoint_url) as proxy:
        proxy.fail(operation, answer(403, "AccessDenied"), times=None)
        faults = doctor.faults("--write", f"s3://{doctor.stack.bucket}/", AWS_ENDPOINT_URL=proxy.url)
    assert {fault["check"] for fault in faults} == {"write"}
    assert all(f"{permission} fails" in fault["message"] for fault in faults)
    assert all(fault["remedy"].startswith(f"allow {permission} ") for fault in faults)


def test_variables_of_aws_in_a_dotenv_file_hold(doctor: Doctor, tmp_path: Path) -> None:
    environment = doctor.stack.environment(ENGINE="rapidocr")
    names = [name for name in environment if name.startswith("AWS_")]
    lines = [f"{name}={environment.pop(name)}\n" for name in names if not name.endswith("FILE")]
    (tmp_path / ".env").write_text("".join(lines))
    there = bucket_ocr(environment, tmp_path, "doctor")
    assert (there.returncode, there.stderr) == (0, "")
    wrong = bucket_ocr(environment | {"AWS_REGION": "eu-west-1"}, tmp_path, "doctor")
    assert "AWS_REGION is eu-west-1, and the queue is in us-east-1" in wrong.stdout
