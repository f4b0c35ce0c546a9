"""The measurement itself: contenders start, and read rounds of documents in turn."""

import itertools
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from local_cloud import LocalCloud

from bench.installed import NotRunError
from bench.peers.contenders import Contender, Running
from bench.peers.documents import Document
from bench.peers.measured import Measured, Round
from bench.peers.usage import MemoryWatch, processor_s
from bench.peers.words import word_f1


def share(documents: Sequence[Document], rounds: int) -> list[list[Document]]:
    """Share documents among rounds: each gets neighbours, so that all have some of each kind."""
    bounds = [len(documents) * number // rounds for number in range(rounds + 1)]
    return [list(documents[first:end]) for first, end in itertools.pairwise(bounds) if end > first]


class Measurement:
    """One contender, from its start to its end. It is left out once it cannot run."""

    def __init__(self, contender: Contender) -> None:
        self.measured = Measured(contender.name, contender.is_what)
        self._contender = contender
        self._running: Running | None = None
        self._read: list[tuple[str, str]] = []

    def start(self, stack: ExitStack, cloud: LocalCloud, folder: Path, warm_up: Sequence[Document]) -> None:
        """Start it, and have it read what is not counted; `stack` ends it."""
        folder.mkdir()
        try:
            self.measured.versions = self._contender.versions()
            started_s = time.monotonic()
            running = stack.enter_context(self._contender.start(cloud, folder))
            self.measured.start_s = time.monotonic() - started_s
            running.read(warm_up)
        except NotRunError as error:
            self.measured.not_run = str(error)
        else:
            self._running = running

    def round(self, documents: Sequence[Document]) -> None:
        """Measure while it reads these documents."""
        if self._running is None:
            return
        pids = self._running.pids
        before_s, began_s = processor_s(pids), time.time()
        try:
            with MemoryWatch(pids) as memory:
                answers = self._running.read(documents)
        except NotRunError as error:
            self.measured.not_run, self._running = str(error), None
            return
        seconds = max(answer.at_s for answer in answers.values()) - began_s
        pages = sum(document.pages for document in documents)
        self.measured.rounds.append(Round(pages, seconds, processor_s(pids) - before_s))
        self.measured.peak_bytes = max(self.measured.peak_bytes, memory.peak_bytes)
        self._read += [(document.truth, answers[document.name].text) for document in documents]
        self.measured.word_f1 = word_f1(self._read)
