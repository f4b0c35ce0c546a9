"""One stack with a running consumer for the tests that only upload and look; the others get their own."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from local_cloud import LocalCloud

from tests.e2e.stack import RUN, Consumer, Stack


@pytest.fixture(scope="session")
def stack(cloud: LocalCloud) -> Iterator[Stack]:
    """The stack of all; each test uses keys of its own and leaves its queues empty."""
    with Stack.deployed(cloud, "e2e") as stack:
        yield stack


@pytest.fixture(scope="session")
def consumer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumer]:
    """The consumer of all, with all defaults; it must never stop."""
    with Consumer(stack, tmp_path_factory.mktemp("consumer")) as consumer:
        yield consumer.wait_ready()
        assert consumer.process.poll() is None


@pytest.fixture
def lone_stack(cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack for one test that stops or kills consumers.

    The last long poll of a killed one may still take a message, for a whole lease.
    """
    number = request.session.items.index(request.node)
    with Stack.deployed(cloud, f"e2e-{number}") as stack:
        yield stack


class Start(Protocol):
    """Starts a consumer of the test's own on a stack, with these settings, in a folder of this name."""

    def __call__(
        self, stack: Stack, folder: str = "consumer", program: Sequence[str] = RUN, /, **settings: object
    ) -> Consumer: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as consumers:

        def started(
            stack: Stack, folder: str = "consumer", program: Sequence[str] = RUN, /, **settings: object
        ) -> Consumer:
            # One process of each kind starts faster and is enough for one document.
            settings = {"ENGINE_WORKERS": 1, "RENDER_WORKERS": 1} | settings
            return consumers.enter_context(Consumer(stack, tmp_path / folder, program, **settings))

        yield started
