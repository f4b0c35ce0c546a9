"""Tests of the service live in virtual time; those of processes, threads and sockets cannot."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.fakes.virtual_time import VirtualLoop

VIRTUAL = {"test_circuit_breaker", "test_disk_space", "test_publisher", "test_scheduler", "test_worker"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factory = VirtualLoop if item.path.stem in VIRTUAL else asyncio.new_event_loop
    return {factory.__name__: factory}
