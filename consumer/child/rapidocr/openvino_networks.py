"""The networks of the embedded engine, run by OpenVINO on the processor."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from openvino import Layout, Type
from openvino.preprocess import PrePostProcessor

from consumer.child.inference import Floats, core_of, run
from consumer.child.pixels import Image
from consumer.child.rapidocr.networks import (
    DETECTION,
    DIRECTION,
    MIDDLE,
    RECOGNITION,
    Angle,
    Batch,
    Places,
    centre_of,
    direction_of,
    ell_of,
    with_blank_and_space,
)

#: Memory for the layers of an image is kept for the next one, 150 bytes a pixel; that of larger ones is not.
_LARGE_PX: Final = 1_500_000


class OpenVinoNetworks:
    """Compiled networks; each call runs one at once.

    `recognition`: file of a recogniser of PP-OCR, which holds its characters too.
    """

    def __init__(self, threads: int, recognition: Path = RECOGNITION) -> None:
        core = core_of(threads)
        self._detection = _request_for_pixels(core, core.read_model(DETECTION))
        self._direction = core.compile_model(core.read_model(DIRECTION), "CPU").create_infer_request()
        model = core.read_model(recognition)
        characters = str(model.get_rt_info(["framework", "character"]).value)
        self.characters: Sequence[str] = with_blank_and_space(characters)
        self._ell = ell_of(self.characters)
        self._recognition = _request_for_pixels(core, model)

    def text_map(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return how likely each pixel is text, as `Networks` has it."""
        probability = run(self._detection, image[np.newaxis])[0, 0]
        text_map = np.asarray(cv2.convertScaleAbs(probability, alpha=255.0), np.uint8)
        if text_map.size > _LARGE_PX:
            self._detection.get_compiled_model().release_memory()
        return text_map

    def places(self, batches: Iterable[Batch]) -> Iterator[Sequence[Places]]:
        """Read lines, a batch when its turn has come, as `Networks` has it."""
        for views in batches:
            yield [Places.of(likely, self._ell) for likely in self._mean_likely(views)]

    def page_direction(self, page: Image) -> tuple[Angle, float]:
        """Return how the page lies, as `Networks` has it."""
        return direction_of(run(self._direction, centre_of(page)[np.newaxis])[0])

    def _mean_likely(self, views: Batch) -> Floats:
        """Return how likely each character is, as the mean of all views: lines x places x characters.

        The next call overwrites the array.
        """
        first, *others = views
        likely = run(self._recognition, np.stack(first))
        if others:
            likely = likely.copy()
            for lines in others:
                likely += run(self._recognition, np.stack(lines))
            likely /= len(views)
        return likely


def _request_for_pixels(core: Any, model: Any) -> Any:
    """Compile a network that takes batches of BGR rows; it makes -1 to 1 of them itself."""
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    steps.input().model().set_layout(Layout("NCHW"))
    steps.input().preprocess().convert_element_type(Type.f32).mean(MIDDLE).scale(MIDDLE)
    return core.compile_model(steps.build(), "CPU").create_infer_request()
