"""One stack and one running consumer for each module, and more consumers where a test asks for them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from local_cloud import LocalCloud

from tests.e2e.stack import Consumer, Stack


@pytest.fixture(scope="module")
def stack(cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[Stack]:
    name = request.path.stem.removeprefix("test_").replace("_", "-")
    with Stack.deployed(cloud, f"e2e-{name}") as stack:
        yield stack


@pytest.fixture(scope="module")
def consumer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    with Consumer(stack, tmp_path_factory.mktemp("consumer")) as consumer:
        yield consumer.wait_ready()


class Start(Protocol):
    """Starts a consumer of the test's own, with these settings, in a folder of this name."""

    def __call__(self, folder: str = "consumer", /, *python: str, **settings: object) -> Consumer: ...


@pytest.fixture
def start(stack: Stack, tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as consumers:

        def started(folder: str = "consumer", /, *python: str, **settings: object) -> Consumer:
            # One engine process starts faster and is enough for one document.
            settings = {"ENGINE_WORKERS": 1} | settings
            return consumers.enter_context(Consumer(stack, tmp_path / folder, *python, **settings))

        yield started
