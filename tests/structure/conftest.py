"""Tests of PP-StructureV3 have an environment of their own, tests/structure/.venv; `make test` makes it."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from tests.structure.engine import Engine
    from tests.structure.zoo import Box, Zoo

# Elsewhere there is nothing that they could run.
collect_ignore_glob = [] if find_spec("paddleocr") else ["test_*.py"]


class NewZoo(Protocol):
    """Builds a zoo with a layout model that finds these blocks; PaddleX finds it for the rest of the test."""

    def __call__(self, *boxes: "Box") -> "Zoo": ...


@pytest.fixture
def new_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewZoo:
    from tests.structure.zoo import Zoo

    def built(*boxes: "Box") -> "Zoo":
        zoo = Zoo(tmp_path / "zoo")
        zoo.layout(*boxes)
        monkeypatch.setenv("PADDLE_PDX_CACHE_HOME", str(zoo.home))
        return zoo

    return built


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """Put back what an engine in this very process does to signals."""
    numbers: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def signals() -> Iterator[None]:
    with own_signals():
        yield


class NewEngine(Protocol):
    """Starts the engine in this process, as it would in a child, on a configuration of a zoo."""

    def __call__(
        self, pipeline: Path, *, runtime: str = "onnxruntime", batch_pages: int = 1, words: bool = False
    ) -> "Engine": ...


@pytest.fixture
def new_engine(signals: None, tmp_path: Path) -> NewEngine:
    from tests.structure.engine import Engine

    def started(
        pipeline: Path, *, runtime: str = "onnxruntime", batch_pages: int = 1, words: bool = False
    ) -> "Engine":
        return Engine(pipeline, runtime, batch_pages, tmp_path, words=words)

    return started
