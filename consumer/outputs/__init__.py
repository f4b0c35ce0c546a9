"""The other outputs: one module for each format, and none of these knows another."""

from collections.abc import Mapping
from typing import Final

from consumer.domain.outputs import OutputFormat
from consumer.outputs import markdown

#: By name.
FORMATS: Final[Mapping[str, OutputFormat]] = {each.name: each for each in (markdown.FORMAT,)}
