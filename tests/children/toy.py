"""The smallest child process that there can be: an engine and a renderer that need no library.

`toy:build` starts if the file named by its option `may_start` exists; without the option, always.
"""

import json
import os
from pathlib import Path

from consumer import protocol
from consumer.domain.errors import SettingsError
from consumer.domain.geometry import Point
from consumer.domain.page import PageImage
from consumer.domain.result import PageResult

ENTRY = "toy:build"
#: Of a consumer whose processes are those of this folder.
_FOLDER = Path(__file__).parent
PYTHONPATH = os.pathsep.join((str(_FOLDER), str(_FOLDER.parents[1])))


class ToyOptions(protocol.EngineOptions):
    """`greeting`: the text of every page."""

    greeting: str = "hello"
    may_start: str | None = None


class Toy:
    """Reads a greeting on every page; a document at `/N.pdf` has N pages."""

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting

    def ready(self) -> protocol.Reply:
        return protocol.EngineReady(name="toy", version="1", models={}, device="cpu")

    def handle(self, request: protocol.Request) -> protocol.Reply:
        match request:
            case protocol.OpenDocument(path=path):
                return protocol.DocumentOpened(page_count=int(Path(path).stem))
            case protocol.ReadPages(images=images):
                return protocol.PagesRead(pages=tuple(map(self._read, images)))
        raise TypeError(request.kind)

    def _read(self, image: PageImage) -> PageResult:
        right, bottom = image.width_px, image.height_px
        box = (Point(0, 0), Point(right, 0), Point(right, bottom), Point(0, bottom))
        return image.result([(box, self._greeting, 1.0)])


def build(options_json: str) -> Toy:
    options = json.loads(options_json)
    may_start = options.get("may_start")
    if may_start is not None and not Path(may_start).exists():
        raise SettingsError("the model is missing: pull it")
    return Toy(options.get("greeting", "hello"))
