"""The way to the cloud and back, which takes time and fails if a test wants that."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial
from typing import NoReturn, TypeVar

from consumer.domain.errors import BucketOcrError, ForbiddenError, ServiceError
from tests.fakes.cloud import Cloud
from tests.fakes.virtual_time import Process

_Answer = TypeVar("_Answer")


class Fault(Enum):
    """A failure of a call."""

    FAILS = auto()  #: it has no effect, and the caller gets an error
    FORBIDDEN = auto()  #: the same, for lack of a right or a key
    REFUSED = auto()  #: 409 for a put, a broken host for an engine; else like FAILS
    LOST = auto()  #: it has its effect, and the answer is lost
    RESENT = auto()  #: the same, and the SDK sends it again
    SLOW = auto()  #: it takes longer than a lease
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    PAUSE_BEFORE = auto()
    PAUSE_AFTER = auto()


class Faults:
    """Failures of the next calls of operations, by any caller."""

    def __init__(self) -> None:
        self._next: dict[str, deque[Fault | Callable[[], object]]] = {}

    def add(self, operation: str, fault: Fault | Callable[[], object], times: int = 1) -> None:
        """Let the next calls fail. A function is called before the operation; the caller gets its error.

        What it returns is awaited if it can be.
        """
        self._next.setdefault(operation, deque()).extend([fault] * times)

    async def take(self, operation: str) -> Fault | None:
        faults = self._next.get(operation)
        fault = faults.popleft() if faults else None
        if isinstance(fault, Fault | None):
            return fault
        if isinstance(result := fault(), Awaitable):
            await result
        return None

    def heal(self) -> None:
        self._next.clear()


class Network:
    """How the calls of a process get to the cloud, and the answers back.

    `seed`: of the time that this takes, which is none without a seed. `calls`: operations and their subjects.
    """

    def __init__(
        self, cloud: Cloud, faults: Faults, process: Process | None = None, seed: int | None = None
    ) -> None:
        self.cloud = cloud
        self.faults = faults
        self.process = process or Process()
        self.calls: list[tuple[str, str]] = []
        self._seed = seed
        self._numbers: Counter[str] = Counter()

    async def call(
        self,
        operation: str,
        subject: str,
        effect: Callable[[], _Answer],
        *,
        refusal: BucketOcrError | None = None,
        slow_s: float = 40.0,
    ) -> _Answer:
        """Make a call: a while after the question its effect, and a while after that the answer."""
        if not self.process.alive:
            raise asyncio.CancelledError
        self.calls.append((operation, subject))
        fault = await self.faults.take(operation)
        rng = self.rng(f"{operation} {subject}")
        if fault is not None:
            self.cloud.journal.note(f"fault {fault.name}", f"{operation} {subject} of {self.process.name}")
        longest_s = 0.0 if self._seed is None else 0.3
        there_s, back_s = rng.uniform(0, longest_s), rng.uniform(0, longest_s)
        if fault is Fault.SLOW:
            there_s, back_s = rng.choice([(slow_s, back_s), (there_s, slow_s), (slow_s / 2, slow_s / 2)])
        if fault is Fault.FORBIDDEN:
            await self.process.sleep(there_s + back_s)
            raise ForbiddenError(f"{operation}: 403")
        if fault in {Fault.FAILS, Fault.REFUSED}:
            await self.process.sleep(there_s + back_s)
            raise (refusal if fault is Fault.REFUSED else None) or ServiceError(f"{operation}: 503")
        self._strike(fault, Fault.CRASH_BEFORE, Fault.PAUSE_BEFORE)
        for _ in range(2 if fault is Fault.RESENT else 1):
            await self._travel(there_s, effect, rng)
            answer = _outcome(effect)
        self._strike(fault, Fault.CRASH_AFTER, Fault.PAUSE_AFTER)
        await self.process.sleep(back_s)
        if fault is Fault.LOST:
            raise ServiceError(f"{operation}: the answer is lost")
        return answer()

    def rng(self, subject: str) -> random.Random:
        """Chance for one subject: the same for its n-th call, whatever others do."""
        self._numbers[subject] += 1
        return random.Random(f"{self._seed} {self.process.name} {subject} {self._numbers[subject]}")

    async def _travel(self, seconds: float, effect: Callable[[], object], rng: random.Random) -> None:
        try:
            await self.process.sleep(seconds)
        except asyncio.CancelledError:
            # The caller, or the whole process, is gone; its request may have left before.
            if rng.random() < 0.5:
                _outcome(effect)
            raise

    def _strike(self, fault: Fault | None, crash: Fault, pause: Fault) -> None:
        if fault is crash:
            self.process.kill()
            raise asyncio.CancelledError
        if fault is pause:
            self.process.pause()


def _outcome(effect: Callable[[], _Answer]) -> Callable[[], _Answer]:
    """Have the effect, and return a function that gives its answer."""
    try:
        answer = effect()
    except BucketOcrError as error:
        return partial(_raise, error)
    return lambda: answer


def _raise(error: BucketOcrError) -> NoReturn:
    raise error
