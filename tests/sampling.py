"""Parameters of tests that would take too long as a whole in each run."""

from collections.abc import Sequence
from typing import Any

import pytest


def every(step: int, values: Sequence[Any]) -> list[Any]:
    """Return the values as parameters: one of each `step` runs in `make test`, the others in `make soak`."""
    return [pytest.param(value, marks=pytest.mark.soak if n % step else ()) for n, value in enumerate(values)]
