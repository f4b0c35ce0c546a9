"""Our templates with values for their parameters, by the few functions of CloudFormation that they use."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cfnlint.decode

INFRA = Path(__file__).parents[2] / "infra"
_PSEUDO_PARAMETERS = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
_NO_VALUE = object()


def decoded(name: str) -> Any:
    found, problems = cfnlint.decode.decode(str(INFRA / name))
    assert not problems
    return found


def resources(name: str, **given: str | int) -> dict[str, Any]:
    """Properties by resource. A reference is the name of its target, an attribute `Name.Attribute`."""
    template = decoded(name)
    defaults = {each: about.get("Default", each) for each, about in template["Parameters"].items()}
    put_in = _Functions({**_PSEUDO_PARAMETERS, **defaults, **given}, template["Conditions"])
    return {
        name: put_in(resource.get("Properties", {}))
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or put_in({"Condition": resource["Condition"]})
    }


class _Functions:
    def __init__(self, values: Mapping[str, Any], conditions: Mapping[str, Any]) -> None:
        self._values = values
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": lambda name: _NO_VALUE if name == "AWS::NoValue" else values.get(name, name),
            "Condition": lambda name: self(conditions[name]),
            "Fn::If": lambda of: self(of[1] if self(conditions[of[0]]) else of[2]),
            "Fn::Equals": lambda of: str(self(of[0])) == str(self(of[1])),
            "Fn::Not": lambda of: not self(of[0]),
            "Fn::GetAtt": ".".join,
            "Fn::Select": lambda of: self(of[1]).split(",")[of[0]],
            "Fn::Base64": self,
            "Fn::Sub": self._substitute,
        }

    def __call__(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self, node) if value is not _NO_VALUE]
        if not isinstance(node, Mapping):
            return node
        for name, function in self._functions.items():
            if node.keys() == {name}:
                return function(node[name])
        assert not any(key.startswith("Fn::") for key in node), f"tests know no {set(node)}"
        pairs = {key: self(value) for key, value in node.items()}
        return {key: value for key, value in pairs.items() if value is not _NO_VALUE}

    def _substitute(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        values = {**self._values, **self(own)}
        return re.sub(r"\$\{([^}]+)\}", lambda match: str(values.get(match[1], match[1])), text)
