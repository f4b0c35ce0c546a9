"""Child processes of the tests can import the modules beside these."""

import pytest

from tests.children.toy import PYTHONPATH


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
