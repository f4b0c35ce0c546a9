"""The HTML of the page: a template of ours, and between its halves the document, as data.

Text of a document never becomes markup. All of it is JSON in elements that no browser runs, without a `<`;
the program of the template makes text nodes of it. A policy in the head allows that program and that style by
their digests and nothing else: no network, no other program, no parsing of markup. Pictures are drawn by the
program.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from consumer.domain.result import Corners, PageResult, Table
from consumer.outputs.regions import regions
from consumer.outputs.tables import Grid, grid

_TEMPLATE: Final = files("consumer.viewer").joinpath("template.html").read_text("utf-8")

#: Behind the picture of each page; see the template.
_TAKE_PICTURE: Final = "takePicture()"


def start(name: str) -> bytes:
    """Write all before the first page. `name`: of the document, for its reader."""
    head, _, _ = _TEMPLATE.partition("@PAGES@")
    return head.replace("@POLICY@", _policy()).encode() + _data({"name": name}, 'id="document"')


def page(result: PageResult, picture: str | None, notes: Iterable[str]) -> bytes:
    """Write a page. `picture`: its image as a data URI, None if there is none. `notes`: for its reader."""
    size = {"width": result.page.width_px, "height": result.page.height_px}
    content = {
        "number": result.page.page_number,
        **size,
        "confidence": result.page.confidence,
        "lines": _lines(result),
        "blocks": [each.model_dump(mode="json", exclude={"content"}) for each in result.page.blocks],
        "tables": [_table(each) for each in result.page.tables],
        "notes": list(notes),
    }
    written = _data(content, 'class="page-data"')
    if picture is None:
        return written
    text = f'<script type="text/plain" class="picture">{picture}</script><script>{_TAKE_PICTURE}</script>\n'
    return written + text.encode()


def end() -> bytes:
    """Write all after the last page."""
    return _TEMPLATE.partition("@PAGES@")[2].encode()


def _policy() -> str:
    def only(tag: str, *others: str) -> str:
        texts = *re.findall(f"<{tag}>(.*?)</{tag}>", _TEMPLATE, re.DOTALL), *others
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; style-src {only('style')}; script-src {only('script', _TAKE_PICTURE)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _data(content: Mapping[str, Any], attribute: str) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    # Names of files need not be Unicode.
    return f'<script type="application/json" {attribute}>{text}</script>\n'.encode("utf-8", "replace")


def _lines(result: PageResult) -> list[dict[str, Any]]:
    blocks = result.page.blocks
    # By identity: two blocks may be equal.
    places = {id(block): place for place, block in enumerate(blocks)}
    of_lines = {
        number: places.get(id(region.block)) for region in regions(result) for number, _ in region.lines
    }
    return [
        {
            "text": line.text,
            "confidence": line.confidence,
            "box": _flat(line.box),
            "block": of_lines[number],
            "words": [
                {"text": word.text, "confidence": word.confidence, "box": _flat(word.box)}
                for word in line.words or ()
            ],
        }
        for number, line in enumerate(result.detections)
    ]


def _flat(corners: Corners) -> list[int]:
    return [each for corner in corners for each in corner]


def _table(table: Table) -> dict[str, Any]:
    try:
        found = grid(table.html)
    except ValueError:
        # Larger than any of a page; its cells are still shown in their places.
        found = Grid()
    # A row may have no cell of its own.
    rows: list[list[dict[str, Any]]] = [[] for _ in range(found.rows)]
    for cell in found.cells:
        spans = {"rowSpan": cell.row_span, "colSpan": cell.column_span}
        rows[cell.row].append({"text": cell.text, "isHeader": cell.is_header, **spans})
    return {"box": table.box, "cells": table.cells, "rows": rows}
