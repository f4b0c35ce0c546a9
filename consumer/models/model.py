"""A model whose files are fetched: where it comes from, where it lies, and what it needs."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Publisher(StrEnum):
    """Owner of models at the sites that have them."""

    PADDLE = "PaddlePaddle"
    RAPIDOCR = "RapidAI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that an engine loads.

    `role`: as in results. `folder`: the place of its files, which may not exist yet. `files`: their names;
    each tuple lists alternatives, one of which is needed. `place`: of its module in the pipeline's file, if
    there is one. `is_custom`: the configuration names the folder. `is_published`: there is a package of it.
    """

    role: str
    name: str
    folder: Path
    files: tuple[tuple[str, ...], ...]
    publisher: Publisher
    is_onnx: bool
    place: str = ""
    is_custom: bool = False
    is_published: bool = True


def home() -> Path:
    """Folder of the models of both engines; setting and default are PaddleX's own."""
    return Path(os.environ.get("PADDLE_PDX_CACHE_HOME") or Path.home() / ".paddlex")
