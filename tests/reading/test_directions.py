"""Lines of several directions on one page, as networks that see colours tell them apart."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from consumer.child.rapidocr.networks import Batch, Places
from consumer.child.rapidocr.page import read_page

#: Confidence of each line by the quarters that it is turned.
Confidences = dict[int, float]


class Colours:
    """Networks that know a line by its red, and its direction by green (to the right) and blue (down)."""

    characters = ("", "a", "b", " ")

    def __init__(self) -> None:
        self.page = np.zeros((1200, 1200, 3), np.uint8)
        self.lines: list[Confidences] = []

    def write(self, x: int, y: int, width: int, height: int, confidences: Confidences) -> None:
        """Put a line on the page; its kernel, which the detector sees, lies in its middle."""
        part = self.page[y : y + height, x : x + width]
        part[..., 1] = np.linspace(20, 90, width)
        part[..., 0] = np.linspace(20, 90, height)[:, np.newaxis]
        part[..., 2] = 20 + 20 * len(self.lines)
        inset = round(min(width, height) * 0.3)
        part[inset:-inset, inset:-inset, 2] = 255
        self.lines.append(confidences)

    def page_direction(self, page: npt.NDArray[np.uint8]) -> tuple[Literal[0], float]:
        return 0, 1.0

    def text_map(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.where(image[..., 2] > 180, 255, 0).astype(np.uint8)

    def places(self, batches: Iterable[Batch]) -> Iterator[Sequence[Places]]:
        for (lines,) in batches:
            yield [Places.of(likely, 0) for likely in self._likely(lines)]

    def _likely(self, lines: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        likely = np.zeros((len(lines), 4, len(self.characters)), np.float32)
        for line, places in zip(lines, likely, strict=True):
            confidence = self._confidence(line.astype(np.float32))
            places[np.arange(4), [1, 2, 1, 2]] = confidence
            places[:, 0] = (1 - confidence) / 2
        return likely

    def _confidence(self, line: npt.NDArray[np.float32]) -> float:
        text = line[:, (line[24, :, 2] != 127)]
        number = round((float(np.percentile(text[4, :, 2], 30)) - 20) / 20)
        blue, green = (float(text[24, -3, n] - text[24, 2, n]) for n in (0, 1))
        turn = (0 if green > 0 else 2) if abs(green) > abs(blue) else (1 if blue > 0 else 3)
        return self.lines[number].get(turn, 0.4)


def test_a_page_with_lines_of_three_directions_is_read() -> None:
    networks = Colours()
    networks.write(200, 100, 110, 400, {1: 0.99})
    networks.write(200, 520, 110, 50, {0: 0.5, 2: 0.7, 1: 0.99})
    networks.write(450, 520, 300, 50, {0: 0.95, 2: 0.96})
    networks.write(450, 900, 300, 50, {0: 0.5, 2: 0.99})
    networks.write(450, 1000, 700, 50, {0: 0.99, 2: 0.5})
    reading = read_page(networks.page, networks, lambda: None)
    assert reading.angle == 0
    # The third may be either way up, and follows the nearest level line that is clear.
    assert reading.turns == (1, 1, 2, 2, 0)
