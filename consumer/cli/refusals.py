"""Refusals of a service, of some things or of all."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from consumer.domain.errors import ServiceError, UnavailableError

#: After so many refusals, and nothing else, all will be refused.
_MOST: Final = 8


@dataclass
class Refusals:
    """Reports refusals of single things; if there is nothing else, the first is the error of the command."""

    report: Callable[[str], None]
    _has_other: bool = False
    _waiting: list[tuple[str, ServiceError]] = field(default_factory=list)

    def add(self, error: ServiceError, name: str | None = None) -> None:
        """Note one, of the thing with this name; raises ServiceError if all will be refused."""
        if isinstance(error, UnavailableError):
            raise error
        self._waiting.append((f"{name}: {error}" if name else str(error), error))
        if self._has_other:
            self._report()
        elif len(self._waiting) == _MOST:
            raise self._waiting[0][1]

    def note_other(self) -> None:
        """Note something that was not refused."""
        self._has_other = True
        self._report()

    def end(self) -> None:
        """Raise the first refusal if there was nothing else."""
        if self._waiting:
            raise self._waiting[0][1]

    def _report(self) -> None:
        for problem, _ in self._waiting:
            self.report(problem)
        self._waiting.clear()
