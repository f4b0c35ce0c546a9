"""Runs networks for several pages at once: each page is read in a thread of its own, all networks run in one.

A thread that reads a page asks for runs. Those of all pages that are for the same network and of the same
shape are put together. So the device is at work while pages are cut and decoded, and no page's code knows of
batches.
"""

import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, TypeVar

import numpy.typing as npt

Array = npt.NDArray[Any]

#: Runs the network of this name once on inputs of one shape; gives an output for each.
Run = Callable[[str, Sequence[Array]], Sequence[Any]]

#: Tells that a step is done.
Progress = Callable[[], None]

_Result = TypeVar("_Result")

#: In the queue: a page has made progress, or is done.
_TICK: Final = None


@dataclass(eq=False)
class _Wanted:
    """Inputs that a thread has asked for. `outputs`: one for each input; `done`: all outputs."""

    inputs: Sequence[Array]
    outputs: list[Any] = field(init=False)
    left: int = field(init=False)
    done: Future[list[Any]] = field(default_factory=Future, init=False)

    def __post_init__(self) -> None:
        self.outputs, self.left = [None] * len(self.inputs), len(self.inputs)

    def take(self, number: int, output: Any) -> None:
        """Take the output of one input."""
        self.outputs[number] = output
        self.left -= 1
        if not self.left:
            self.done.set_result(self.outputs)


#: An input that waits: whose, and which of its inputs.
_Waiting = tuple[_Wanted, int]


class Batcher:
    """Gathers what several threads ask of networks.

    `run` is called in the thread of `each`. `most_values`: by network, the most values of all inputs of a
    run; a single input may have more. `threads`: pages that are read at the same time.
    """

    def __init__(self, run: Run, most_values: dict[str, int], threads: int) -> None:
        self._run = run
        self._most_values = most_values
        self._threads = ThreadPoolExecutor(threads, "page")
        self._asked: queue.SimpleQueue[tuple[str, _Wanted] | None] = queue.SimpleQueue()
        self._waiting: dict[tuple[str, tuple[int, ...]], deque[_Waiting]] = {}

    def ask(self, network: str, inputs: Sequence[Array]) -> Future[list[Any]]:
        """Ask, from a thread of `each`, for a network to be run on inputs of one shape."""
        wanted = _Wanted(inputs)
        self._asked.put((network, wanted))
        return wanted.done

    def each(self, work: Sequence[Callable[[Progress], _Result]], progress: Progress) -> list[_Result]:
        """Do all work at the same time, and return the results in its order.

        Work gets a function that tells of its progress. `progress` is called, from this thread, after that
        and after every run. Raises the first error of any work, when all has ended. An error of `progress`
        is that of all that was asked, too.
        """

        def tick() -> None:
            self._asked.put(_TICK)

        running = [self._threads.submit(one, tick) for one in work]
        for each in running:
            each.add_done_callback(lambda _: tick())
        try:
            while self._waiting or not all(each.done() for each in running):
                self._take_all()
                if self._waiting:
                    self._run_fullest()
                progress()
        except BaseException as error:
            self._fail_all(running, error)
            raise
        return [each.result() for each in running]

    def _fail_all(self, running: Sequence[Future[Any]], error: BaseException) -> None:
        """Let the threads end, which would wait for outputs forever, and the process with them."""
        while True:
            for wanted in {wanted for waiting in self._waiting.values() for wanted, _ in waiting}:
                if not wanted.done.done():
                    wanted.done.set_exception(error)
            self._waiting.clear()
            if all(each.done() for each in running):
                return
            self._take_all()

    def _take_all(self) -> None:
        """Take what was asked; if there is nothing to run, wait for it."""
        asked = self._asked.get() if not self._waiting else _TICK
        while True:
            if asked is not None:
                network, wanted = asked
                key = network, wanted.inputs[0].shape
                places = self._waiting.setdefault(key, deque())
                places.extend((wanted, number) for number in range(len(wanted.inputs)))
            try:
                asked = self._asked.get_nowait()
            except queue.Empty:
                return

    def _run_fullest(self) -> None:
        """Run the network for which most values wait, on a power of two of inputs, so that shapes are few."""
        key = max(self._waiting, key=lambda each: len(self._waiting[each]) * prod(each[1]))
        network, shape = key
        waiting = self._waiting[key]
        most = max(1, self._most_values[network] // prod(shape))
        count = 1 << (min(len(waiting), most).bit_length() - 1)
        batch = [waiting.popleft() for _ in range(count)]
        if not waiting:
            del self._waiting[key]
        try:
            outputs = self._run(network, [wanted.inputs[number] for wanted, number in batch])
        except Exception as error:  # noqa: BLE001 - the threads that wait for it raise it
            for wanted in {wanted for wanted, _ in batch}:
                if not wanted.done.done():
                    wanted.done.set_exception(error)
            return
        for (wanted, number), output in zip(batch, outputs, strict=True):
            wanted.take(number, output)
