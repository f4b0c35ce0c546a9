"""Policies of IAM, read as IAM reads them."""

from collections.abc import Mapping
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


def may(policy: Document, action: str, resource: str) -> bool:
    """Whether a policy of Allows without conditions allows it."""
    return any(
        action in listed(statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(statement["Resource"]))
        for statement in policy["Statement"]
    )
