"""The page of `bucket-ocr view`, of a long document in Chromium: time to open, and memory.

    make bench/viewer

Scanned A4 pages of 50 lines with their words, of which twenty are different; a picture takes 150 kB. Time:
from the navigation until the program of the page has placed all pages and the first is shown. Memory: of all
processes of the browser (proportional set size); also after a way through all pages, and of a browser with an
empty page, beside it. It exits with 1 if the page takes over 3 s to open, or the browser then over 500 MB.
"""

import asyncio
import base64
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil
from PIL import Image, ImageDraw, ImageFont

from bench.common import asked_for, report
from consumer.child.rendering.pictures import encode_picture
from consumer.domain.result import Detection, PageResult
from consumer.viewer import html
from tests.children.searchable.sheets import line, page_result
from tests.viewer import browser

_WIDTH, _HEIGHT = 1190, 1684
_LINES: Final = 50
#: Pages that are made; the others are copies of them.
_DIFFERENT: Final = 20
_MOST_S, _MOST_BYTES = 3.0, 500_000_000


def main() -> int:
    """Measure once; returns the exit status."""
    pages = asked_for(__doc__, "pages", 300)
    with tempfile.TemporaryDirectory(prefix="bucket-ocr-bench-") as name:
        page = Path(name) / "long.html"
        _write(page, pages)
        figures: dict[str, object] = {"pages": pages, "file_mb": round(page.stat().st_size / 1e6, 1)}
        opened_s, empty, opened, seen = asyncio.run(_look(page, pages))
    figures |= {
        "open_s": round(opened_s, 2),
        "empty_browser_mb": round(empty / 1e6),
        "opened_mb": round(opened / 1e6),
        "all_seen_mb": round(seen / 1e6),
    }
    return report(figures, kept=opened_s <= _MOST_S and opened <= _MOST_BYTES)


async def _look(page: Path, pages: int) -> tuple[float, int, int, int]:
    async with browser.opened() as tab:
        empty = _memory(tab.pid)
        started = time.monotonic()
        await tab.go(page)
        await tab.until(
            f"document.querySelectorAll('section.page').length === {pages}"
            " && document.querySelector('canvas')?.width"
        )
        await tab.frames()
        opened_s = time.monotonic() - started
        opened = _memory(tab.pid)
        for number in range(1, pages + 1, 3):
            await tab.value(f"document.querySelector('#page-{number}').scrollIntoView()")
            await tab.until(f"document.querySelector('#page-{number} canvas')?.width")
        return opened_s, empty, opened, _memory(tab.pid)


def _memory(pid: int) -> int:
    """Memory of a process and of those that it has started, each page that they share counted once."""
    total_bytes = 0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        # Chromium ends some of its processes after the start.
        with contextlib.suppress(psutil.NoSuchProcess):
            total_bytes += process.memory_full_info().pss
    return total_bytes


def _write(path: Path, pages: int) -> None:
    made = [_page(number) for number in range(_DIFFERENT)]
    pictures = [base64.b64encode(encode_picture(_drawn(lines))).decode() for lines in made]
    with path.open("wb") as file:
        file.write(html.start("long.pdf"))
        for number in range(pages):
            result = _result(made[number % _DIFFERENT], number + 1)
            picture = f"data:image/webp;base64,{pictures[number % _DIFFERENT]}"
            file.write(html.page(result, picture, ()))
        file.write(html.end())


def _page(seed: int) -> list[Detection]:
    text = "The harbour master counts ten ships and 1,234 barrels today"
    return [line(f"{seed}.{n} {text}", (90, 70 + 31 * n), height=22) for n in range(_LINES)]


def _drawn(lines: list[Detection]) -> Image.Image:
    page = Image.effect_noise((_WIDTH, _HEIGHT), 3).point(lambda value: min(255, value + 110))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(18)
    for each in lines:
        for word in each.words or ():
            draw.text(word.box[0], word.text, fill=0, font=font)
    return page.convert("RGB")


def _result(lines: list[Detection], number: int) -> PageResult:
    moved = [each.model_copy(update={"page_number": number}) for each in lines]
    return page_result(moved, _WIDTH, _HEIGHT, number)


if __name__ == "__main__":
    sys.exit(main())
