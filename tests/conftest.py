"""Shared by all tests: an environment without the developer's accounts, a LocalStack, the corpus."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from local_cloud import LocalCloud
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT.parent / "shared" / "corpus"
#: The order of the folders: those with the longest tests first, so that none of these is the last to end.
LONGEST_FIRST = (
    "e2e",
    "children",
    "model",
    "contract",
    "infra",
    "structure",
    "reading",
    "viewer",
    "docs",
    "bench",
    "outputs",
    "unit",
)
#: Files whose tests use the consumer of `e2e/conftest.py`.
SHARED_CONSUMER = {
    f"tests/e2e/test_{name}.py"
    for name in (
        "bad_documents",
        "command_line",
        "cookbook",
        "documents",
        "messages",
        "one_result",
        "source_keys",
    )
}

# A busy machine is no reason for a property to fail.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker whole files; and one worker all files whose tests share a consumer."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "shared consumer" if file in SHARED_CONSUMER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST_FIRST.index(item.path.relative_to(ROOT / "tests").parts[0]))


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_developers() -> Iterator[None]:
    """Take away every setting that could lead a test to a real account, or astray."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("AWS_", "BUCKET_OCR_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # Without files there are no profiles, and without the metadata service no role of the machine.
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # A run in the background ignores Ctrl-C, and so would every process that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


@pytest.fixture(scope="session")
def cloud(nothing_of_the_developers: None) -> Iterator[LocalCloud]:
    """Start one LocalStack for all tests; if it is not installed, its error says `run make setup`."""
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def samples() -> Path:
    return ROOT / "tests" / "samples"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Find the corpora that are not part of the repository."""
    if not CORPUS.is_dir():
        pytest.skip(f"the corpus is not at {CORPUS}")
    return CORPUS
