"""The networks of the embedded engine for several pages at once, each read in a thread of its own."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from consumer.child.inference import Floats
from consumer.child.pixels import Image
from consumer.child.rapidocr.batcher import Batcher
from consumer.child.rapidocr.networks import Angle, Batch, Places, centre_of, direction_of
from consumer.child.rapidocr.onnx_networks import LIKELY, LINES, PAGE, TEXT_MAP, OnnxNetworks
from consumer.child.words import LINE_HEIGHT_PX

#: Most values of the inputs of a run, so that no run takes more memory than one that has to be: pixels of the
#: detector's largest tile; lines of this total width, whose likelihoods are 0.3 GB, and of less if all of
#: these leave the device; pages.
_CHANNELS: Final = 3
_MOST_VALUES: Final = {
    TEXT_MAP: _CHANNELS * 2112 * 2112,
    LINES: _CHANNELS * LINE_HEIGHT_PX * 32_768,
    LIKELY: _CHANNELS * LINE_HEIGHT_PX * 8192,
    PAGE: _CHANNELS * 224 * 224 * 64,
}

#: Batches of lines of a page that are cut and not read yet.
_AHEAD: Final = 32


class BatchedNetworks:
    """What the threads of a `Batcher` see of the networks."""

    def __init__(self, networks: OnnxNetworks, batcher: Batcher) -> None:
        self.characters: Sequence[str] = networks.characters
        self._ell = networks.ell
        self._batcher = batcher

    def text_map(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return how likely each pixel is text, as `Networks` has it."""
        (text_map,) = self._batcher.ask(TEXT_MAP, [image]).result()
        return np.asarray(text_map, np.uint8)

    def places(self, batches: Iterable[Batch]) -> Iterator[Sequence[Places]]:
        """Read lines, as `Networks` has it; some batches are asked for ahead of their turn."""
        asked: deque[Future[list[Any]]] = deque()
        for views in batches:
            first, *others = views
            if others:
                while asked:
                    yield asked.popleft().result()
                yield self._seen_in_all(views)
                continue
            asked.append(self._batcher.ask(LINES, first))
            if len(asked) > _AHEAD:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()

    def page_direction(self, page: Image) -> tuple[Angle, float]:
        """Return how the page lies, as `Networks` has it."""
        (likely,) = self._batcher.ask(PAGE, [centre_of(page)]).result()
        return direction_of(likely)

    def _seen_in_all(self, views: Batch) -> list[Places]:
        """Read lines by the mean of their likelihoods in all views.

        These are large, so it is done at once.
        """
        asked = [self._batcher.ask(LIKELY, lines) for lines in views]
        likely: list[list[Floats]] = [each.result() for each in asked]
        return [Places.of(np.mean(of_line, axis=0), self._ell) for of_line in zip(*likely, strict=True)]


def batcher_of(networks: OnnxNetworks, pages: int) -> Batcher:
    """Return a batcher for so many pages."""
    return Batcher(networks.run, _MOST_VALUES, pages)
