"""Tests of the service live in virtual time; those of processes, threads and sockets cannot."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.fakes.virtual_time import VirtualLoop

VIRTUAL = {
    *("test_circuit_breaker", "test_disk_space", "test_long_documents", "test_outputs", "test_part_slots"),
    *(
        "test_publisher",
        "test_refusals",
        "test_result_files",
        "test_scheduler",
        "test_service_call",
        "test_source_cache",
        "test_uploads",
        "test_work_dir",
        "test_worker",
    ),
}

# A busy machine is no failure.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    factory = VirtualLoop if item.path.stem in VIRTUAL else asyncio.new_event_loop
    return {factory.__name__: factory}
