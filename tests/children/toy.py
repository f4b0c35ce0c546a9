"""The smallest child process that there can be: an engine and a renderer that need no library.

`toy:build` starts if the file named by its option `may_start` exists; without the option, always.
"""

import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from consumer import protocol
from consumer.child import files, source_outputs
from consumer.child.textlayer.interface import Original
from consumer.domain.errors import SettingsError
from consumer.domain.geometry import Point
from consumer.domain.legibility import TextLine
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult

ENTRY = "toy:build"
#: Of a consumer whose processes are those of this folder.
_FOLDER = Path(__file__).parent
PYTHONPATH = os.pathsep.join((str(_FOLDER), str(_FOLDER.parents[1])))


class ToyOptions(protocol.EngineOptions):
    """`greeting`: the text of every page. `steps`: a page has so many, each of `step_s` seconds."""

    greeting: str = "hello"
    steps: int = 0
    step_s: float = 0.0
    may_start: str | None = None


class Toy:
    """Reads a greeting on every page; a document's pages end with form feeds."""

    def __init__(self, greeting: str, steps: int, step_s: float) -> None:
        self._greeting = greeting
        self._steps = steps
        self._step_s = step_s

    def ready(self) -> protocol.Reply:
        return protocol.EngineReady(name="toy", version="1", models={}, device="cpu")

    def handle(self, request: protocol.Request, progress: Callable[[], None]) -> protocol.Reply:
        match request:
            case protocol.OpenDocument(path=path):
                with files.readable(path) as file:
                    return protocol.DocumentOpened(page_count=1 + file.read().count(b"\f"))
            case protocol.ReadPages(images=images):
                return protocol.PagesRead(pages=tuple(self._read(image, progress) for image in images))
        raise TypeError(request.kind)

    def _read(self, image: PageImage, progress: Callable[[], None]) -> PageResult:
        for _ in range(self._steps):
            time.sleep(self._step_s)
            progress()
        right, bottom = image.width_px, image.height_px
        box = (Point(0, 0), Point(right, 0), Point(right, bottom), Point(0, bottom))
        return image.result([TextLine(box, self._greeting, 1.0)])


def _write(
    original: Original, pages: Iterable[PageResult], output: BinaryIO, progress: Callable[[], None]
) -> protocol.OutputWritten:
    """Write the texts of the pages; a text may say what else is to happen."""
    texts = []
    for page in pages:
        texts += [line.text for line in page.detections]
        progress()
    match texts:
        case ["crash"]:
            os.abort()
        case ["hang"]:
            time.sleep(600)
        case ["raise"]:
            raise ValueError("a bug")
        case ["elsewhere"]:
            return protocol.OutputWritten(endings=(".ocr.json",), sizes_bytes=(0,))
        case ["longer"]:
            return protocol.OutputWritten(endings=(".ocr.pdf",), sizes_bytes=(1,))
        case ["note"]:
            return protocol.OutputWritten(
                endings=(), sizes_bytes=(), notes=(protocol.OutputNote(message="signed"),)
            )
    output.write(" ".join(texts).encode())
    return protocol.OutputWritten(endings=(".ocr.pdf",), sizes_bytes=(output.tell(),))


def build_writer(options_json: str) -> source_outputs.SourceOutputWriter:
    return source_outputs.build(options_json, {"pdf": _write})


def build(options_json: str) -> Toy:
    options = json.loads(options_json)
    may_start = options.get("may_start")
    if may_start is not None and not Path(may_start).exists():
        raise SettingsError("the model is missing: pull it")
    return Toy(options.get("greeting", "hello"), options.get("steps", 0), options.get("step_s", 0.0))
