"""What pages ask of networks is run together, in few shapes, and every page gets its own."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from consumer.child.rapidocr.batcher import Batcher

DEADLINE_S = 300.0


class Doubling:
    """A network that doubles its input; it remembers what was run at once, and in which thread."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, tuple[int, ...]]] = []
        self.threads: set[int] = set()
        self.failures = 0
        #: A run ends no sooner.
        self.may_end = threading.Event()
        self.may_end.set()

    def run(self, network: str, inputs: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        self.runs.append((network, len(inputs), inputs[0].shape))
        self.threads.add(threading.get_ident())
        assert self.may_end.wait(DEADLINE_S)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the device is lost")
        return [2 * each for each in np.stack(inputs)]


def page(batcher: Batcher, *shapes: int, together: threading.Barrier | None = None) -> Any:
    """The work of a page: it asks for a run on two inputs of each of these lengths, and adds all up."""

    def read(progress: Callable[[], None]) -> int:
        asked = [batcher.ask("net", [np.ones(shape), np.ones(shape)]) for shape in shapes]
        if together:
            together.wait(DEADLINE_S)
        total = sum(int(output.sum()) for each in asked for output in each.result(DEADLINE_S))
        progress()
        return total

    return read


def test_every_page_gets_the_outputs_of_its_own_inputs_in_its_order() -> None:
    network = Doubling()
    batcher = Batcher(network.run, {"net": 1000}, 4)

    def numbered(number: int) -> Callable[[Callable[[], None]], tuple[int, int]]:
        def read(_: Callable[[], None]) -> tuple[int, int]:
            asked = batcher.ask("net", [np.full(3, number), np.full(3, -number)])
            first, second = asked.result(DEADLINE_S)
            return int(first[0]), int(second[0])

        return read

    read = batcher.each([numbered(n) for n in range(1, 9)], lambda: None)
    assert read == [(2 * n, -2 * n) for n in range(1, 9)]
    assert network.threads == {threading.get_ident()}


def test_inputs_of_several_pages_are_run_at_once_and_their_numbers_are_powers_of_two() -> None:
    network = Doubling()
    batcher = Batcher(network.run, {"net": 1000}, 3)
    # While the first run is under way, which has the inputs of at least one page, all others are asked for.
    network.may_end.clear()
    together = threading.Barrier(3, network.may_end.set)
    batcher.each([page(batcher, 5, together=together)] * 3, lambda: None)
    counts = [count for _, count, _ in network.runs]
    assert sum(counts) == 6
    assert set(counts) <= {2, 4}
    assert max(counts) == 4


def test_a_run_has_no_more_values_than_it_may_unless_a_single_input_has() -> None:
    network = Doubling()
    batcher = Batcher(network.run, {"net": 40}, 2)
    batcher.each([page(batcher, 10, 10, 100)] * 2, lambda: None)
    assert {count for _, count, shape in network.runs if shape == (100,)} == {1}
    assert max(count for _, count, shape in network.runs if shape == (10,)) <= 4


def test_progress_is_told_in_the_thread_of_the_caller() -> None:
    batcher = Batcher(Doubling().run, {"net": 40}, 2)
    told: list[int] = []
    batcher.each([page(batcher, 10)] * 2, lambda: told.append(threading.get_ident()))
    assert set(told) == {threading.get_ident()}


def test_pages_end_if_nobody_can_be_told_of_progress() -> None:
    """Else the process would wait for their threads, and hold the memory of its GPU."""
    batcher = Batcher(Doubling().run, {"net": 10}, 2)
    ended: list[int] = []

    def read(_: Callable[[], None]) -> None:
        for length in (10, 20, 30):
            try:
                batcher.ask("net", [np.ones(length), np.ones(length)]).result(DEADLINE_S)
            finally:
                ended.append(length)

    def progress() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        batcher.each([read] * 2, progress)
    assert len(ended) >= 2


def test_a_run_that_fails_is_the_error_of_its_pages_and_the_next_request_is_read() -> None:
    network = Doubling()
    batcher = Batcher(network.run, {"net": 40}, 2)
    network.failures = 1
    with pytest.raises(RuntimeError, match="the device is lost"):
        batcher.each([page(batcher, 10)], lambda: None)
    assert batcher.each([page(batcher, 10)], lambda: None) == [40]


def test_an_error_of_a_page_is_raised_when_the_others_have_ended() -> None:
    batcher = Batcher(Doubling().run, {"net": 40}, 2)

    def broken(_: Callable[[], None]) -> int:
        raise ValueError("a page of no size")

    ended: list[int] = []

    def good(progress: Callable[[], None]) -> int:
        ended.append(page(batcher, 10)(progress))
        return 0

    with pytest.raises(ValueError, match="no size"):
        batcher.each([broken, good], lambda: None)
    assert ended == [40]
