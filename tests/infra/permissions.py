"""Policies of IAM, read as IAM reads them."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from fnmatch import fnmatchcase
from typing import Any

from local_cloud import LocalCloud

Document = Mapping[str, Any]


def consumer_policy(cloud: LocalCloud, arn: str) -> Document:
    """The policy that a stack has for its consumers."""
    with closing(cloud.client("iam")) as iam:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found: Document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"][
            "Document"
        ]
        return found


def listed(value: Any) -> list[Any]:
    """A list of one may lack its brackets."""
    return value if isinstance(value, list) else [value]


def granted(policy: Document) -> Iterator[tuple[str, str]]:
    """Every action with its resource, of a policy that only allows, under no condition but the account."""
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        for condition in statement.get("Condition", {}).values():
            assert condition.keys() == {"aws:ResourceAccount"}
        for action in listed(statement["Action"]):
            yield from ((action, resource) for resource in listed(statement["Resource"]))


def may(policy: Document, action: str, resource: str) -> bool:
    return any(action == allowed and fnmatchcase(resource, pattern) for allowed, pattern in granted(policy))
