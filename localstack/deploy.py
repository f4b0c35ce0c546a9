"""Deploys `infra/storage.yaml` to a LocalStack: the very template that AWS gets.

Three ways in: `deploy()`, `python localstack/deploy.py`, and as an initialisation file of LocalStack
(`/etc/localstack/init/ready.d/deploy.py`), which LocalStack runs with `exec` inside its own process.
Only boto3 and the standard library, because LocalStack's container has nothing else.
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STACK = "bucket-ocr"
BUCKET = "inbox"
QUEUE = "bucket-ocr"
REGION = "us-east-1"
TEMPLATE_VARIABLE = "BUCKET_OCR_TEMPLATE"
DEADLINE_S = 120.0
POLL_S = 0.2


class DeploymentError(RuntimeError):
    """The stack did not come up; the message holds the reasons that CloudFormation gave."""


def template_path() -> Path:
    """Find the template: BUCKET_OCR_TEMPLATE, else in the repository, else beside this file.

    Raises:
        DeploymentError: it is in none of these places.

    """
    named = os.environ.get(TEMPLATE_VARIABLE)
    # Under `exec` there is no __file__; then this is where the container has it.
    here = Path(globals().get("__file__", "/etc/localstack/init/ready.d/deploy.py")).resolve()
    beside = here.with_name("storage.yaml")
    places = [Path(named)] if named else [here.parent.parent / "infra" / "storage.yaml", beside]
    for place in places:
        if place.is_file():
            return place
    raise DeploymentError(
        f"no template at {', '.join(map(str, places))}; set {TEMPLATE_VARIABLE} to its path"
    )


def deploy(
    cloudformation: Any,
    *,
    stack: str = STACK,
    bucket: str = BUCKET,
    queue: str = QUEUE,
    **others: str,
) -> Mapping[str, str]:
    """Create the stack unless it is there, wait until it is complete, and give its outputs by name.

    `cloudformation` is a boto3 client, `others` are further parameters of the template. A stack that is there
    already is taken as it is.

    Raises:
        DeploymentError: the stack failed, is in a failed state from before, or missed the deadline.

    """
    parameters = {"BucketName": bucket, "QueueName": queue, **others}
    with contextlib.suppress(cloudformation.exceptions.AlreadyExistsException):
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=template_path().read_text(encoding="utf-8"),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        description = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        status = description["StackStatus"]
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}
        if not status.endswith("_IN_PROGRESS"):
            break
        if time.monotonic() > deadline_s:
            status = f"{status} after {DEADLINE_S:.0f} s"
            break
        time.sleep(POLL_S)
    raise DeploymentError(f"stack {stack} is {status}: {_reasons(cloudformation, stack, description)}")


def _reasons(cloudformation: Any, stack: str, description: Mapping[str, Any]) -> str:
    """Collect what CloudFormation says about each failed resource, the first failure first."""
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event.get("ResourceStatus", "").endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
    return "; ".join(reasons) or description.get("StackStatusReason") or "no reason given"


def _deploy_here() -> None:
    import boto3  # noqa: PLC0415 (half a second, which importers of `deploy` need not pay)

    client: Any = boto3.client(
        "cloudformation",
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL") or "http://localhost:4566",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for name, value in deploy(client).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    try:
        _deploy_here()
    except DeploymentError as error:
        sys.exit(f"deploy: {error}")
elif __name__ == "builtins":
    # LocalStack's `exec(source, {})` leaves the name to be found in builtins. No exit here: it would end
    # LocalStack's thread; an exception is logged, and the script's state becomes ERROR.
    _deploy_here()
