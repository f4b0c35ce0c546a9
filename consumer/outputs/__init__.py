"""The other outputs: one module for each format, and none of these knows another."""

from collections.abc import Mapping
from typing import Final

from consumer.domain.outputs import OutputFormat
from consumer.outputs import alto, hocr, markdown, page_xml, table_csv, textract

#: By name.
FORMATS: Final[Mapping[str, OutputFormat]] = {
    module.FORMAT.name: module.FORMAT for module in (alto, hocr, markdown, page_xml, table_csv, textract)
}
