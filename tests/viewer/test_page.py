"""The page of a result in a real browser: what it shows, finds, hides, and does not run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.viewer.browser import Tab
from tests.viewer.documents import EVIL, PAGES

pytestmark = pytest.mark.asyncio(loop_scope="session")

BOXES = (
    "Array.from(document.querySelectorAll('#page-1 .line'), (each) => each.getBoundingClientRect())"
    ".map(({ left, top, right, bottom }) => [left, top, right, bottom])"
)
#: Nothing but the pages' own pixels.
BARE = "document.body.className = ''; document.querySelector('#details').hidden = true"
DARK = 128


async def shown(tab: Tab, page: Path, fragment: str = "") -> None:
    await tab.go(page, fragment)
    pictures = "[...document.querySelectorAll('canvas')]"
    await tab.until(f"{pictures}.length && {pictures}.every((each) => each.width)")
    await tab.frames()


async def middle(tab: Tab, selector: str) -> tuple[float, float]:
    """Return the middle of an element in the window."""
    box = await tab.value(
        f"(() => {{ const {{ x, y, width, height }} = document.querySelector({selector!r})"
        ".getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()"
    )
    return box[0], box[1]


async def marked(tab: Tab, name: str) -> Any:
    """Return which line of which page is marked so: of the polygons, and of the texts."""
    return await tab.value(
        f"Array.from(document.querySelectorAll('.{name}[data-line]'),"
        " (each) => [each.localName, each.closest('.page').id, Number(each.dataset.line)]).sort()"
    )


def both(page: int, line: int) -> list[list[object]]:
    return [["li", f"page-{page}", line], ["polygon", f"page-{page}", line]]


async def test_every_line_has_a_polygon_on_its_ink_and_no_ink_is_outside(tab: Tab, page: Path) -> None:
    await tab.size(1280, 1100)
    await shown(tab, page, "#p=1")
    boxes = await tab.value(BOXES)
    assert len(boxes) == len(PAGES[0])
    await tab.value(BARE)
    ink = np.asarray((await tab.picture()).convert("L")) < DARK
    frame = [
        round(each)
        for each in await tab.value(
            "(() => { const { left, top, right, bottom } = document.querySelector('#page-1 .picture')"
            ".getBoundingClientRect(); return [left + 2, Math.max(top + 2, 120), right - 2, bottom - 2]; })()"
        )
    ]
    whole = ink[frame[1] : frame[3], frame[0] : frame[2]].sum()
    inside = 0
    for left, top, right, bottom in boxes:
        part = ink[round(top) : round(bottom) + 1, round(left) : round(right) + 1]
        columns = np.flatnonzero(part.any(axis=0))
        assert part.any(axis=1).mean() > 0.4
        # From the first letter to the last.
        assert columns[0] < 12
        assert columns[-1] > part.shape[1] - 12
        inside += part.sum()
    assert inside == whole


async def test_all_pages_have_their_lines_once_they_are_reached(tab: Tab, page: Path) -> None:
    await shown(tab, page)
    for number, texts in enumerate(PAGES, start=1):
        await tab.value(f"document.querySelector('#page-{number}').scrollIntoView()")
        await tab.until(f"document.querySelectorAll('#page-{number} .line').length === {len(texts)}")
        read = await tab.value(
            f"Array.from(document.querySelectorAll('#page-{number} li span'), (each) => each.textContent)"
        )
        assert read == list(texts)


async def test_text_of_a_document_is_shown_and_never_run(tab: Tab, page: Path) -> None:
    await shown(tab, page, "#p=1&l=3")
    for layer in "wbto":
        await tab.press(layer)
    await tab.value("document.querySelector('#page-2').scrollIntoView()")
    await tab.until("document.querySelector('#page-2 table')")
    assert await tab.value("document.querySelector('#details p').textContent") == EVIL
    assert await tab.value("document.querySelector('#page-2 th').textContent") == "Prices <b>"
    # Pictures of pages are drawn.
    assert await tab.value("document.images.length") == 0
    # Data, and the two programs of the page, in its head and at its end.
    scripts = await tab.value(
        "Array.from(document.scripts, (each) => each.type).filter((type) => !type).length"
    )
    assert scripts == 2
    urls = {event["request"]["url"].partition(":")[0] for event in tab.events["Network.requestWillBeSent"]}
    assert urls <= {"file", "data", "about"}
    for trouble in ("Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Log.entryAdded"):
        assert tab.events[trouble] == []


async def test_the_page_refuses_other_programs_markup_and_the_network(tab: Tab, page: Path) -> None:
    """What would have to go wrong first is tried here on purpose."""
    await shown(tab, page)
    attempts = {
        "markup": "document.body.insertAdjacentHTML('beforeend', '<b>no</b>')",
        "program": "document.createElement('script').text = '1'",
    }
    for attempt in attempts.values():
        assert (
            await tab.value(f"(() => {{ try {{ {attempt}; return 'done'; }} catch {{ return 'no'; }} }})()")
            == "no"
        )
    assert await tab.value("fetch('http://127.0.0.1:9/').then(() => 'done', () => 'no')") == "no"
    violated = [entry["entry"]["text"] for entry in tab.events["Log.entryAdded"]]
    assert any("Content Security Policy" in text for text in violated)


async def test_hovering_a_polygon_marks_its_text_and_the_other_way_round(tab: Tab, page: Path) -> None:
    await shown(tab, page)
    await tab.point(*await middle(tab, "#page-1 .line[data-line='1']"))
    assert await marked(tab, "hover") == both(1, 1)
    await tab.point(*await middle(tab, "#page-1 li[data-line='4']"))
    assert await marked(tab, "hover") == both(1, 4)
    await tab.point(5, 5)
    assert await marked(tab, "hover") == []


async def test_a_click_tells_text_confidence_and_block_and_makes_a_link(tab: Tab, page: Path) -> None:
    await shown(tab, page, "#p=2")
    await tab.click(*await middle(tab, "#page-2 .line[data-line='1']"))
    assert await marked(tab, "selected") == both(2, 1)
    assert await tab.value("document.querySelector('#details p').textContent") == "Tea"
    facts = await tab.value(
        "Array.from(document.querySelectorAll('#details dd'), (each) => each.textContent)"
    )
    assert facts[:3] == ["97.0 %", "2 table", "page 2, line 2"]
    assert await tab.value("location.hash") == "#p=2&l=2"
    await tab.press("Escape")
    assert await tab.value("document.querySelector('#details').hidden")


async def test_a_link_opens_its_page_and_line(tab: Tab, page: Path) -> None:
    await shown(tab, page, "#p=5&l=2")
    assert await marked(tab, "selected") == both(5, 1)
    assert await tab.value("document.querySelector('#page').value") == "5"
    _, y = await middle(tab, "#page-5 .line[data-line='1']")
    assert 100 < y < 900


async def test_search_counts_scrolls_to_hits_and_passes_from_one_to_the_next(tab: Tab, page: Path) -> None:
    await shown(tab, page)
    await tab.press("/")
    await tab.type("HARBOUR")
    assert await tab.value("document.querySelector('#hits').textContent") == "1 of 2"
    assert await marked(tab, "selected") == both(1, 0)
    await tab.press("Enter")
    assert await tab.value("document.querySelector('#hits').textContent") == "2 of 2"
    assert await marked(tab, "selected") == both(5, 2)
    _, y = await middle(tab, "#page-5 .line[data-line='2']")
    assert 100 < y < 900
    await tab.value("document.querySelector('#query').value = ''; undefined")
    await tab.value("document.querySelector('#query').focus()")
    await tab.type("creme")
    assert await marked(tab, "selected") == both(3, 2)


async def test_the_slider_hides_what_is_less_certain_on_both_sides(tab: Tab, page: Path) -> None:
    await shown(tab, page, "#p=4")
    visible = (
        "Array.from(document.querySelectorAll('#page-4 [data-line]'))"
        ".filter((each) => each.checkVisibility()).length"
    )
    assert await tab.value(visible) == 6
    await tab.value(
        "(() => { const least = document.querySelector('#least'); least.value = 50;"
        " least.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )
    assert await tab.value(visible) == 4
    assert await tab.value("document.querySelector('#shown').textContent") == "from 50 %, 1 hidden"
    # Nor is it found.
    await tab.press("/")
    await tab.type("line")
    assert await tab.value("document.querySelector('#hits').textContent") == "1 of 1"


async def test_layers_are_switched_by_keys_and_boxes(tab: Tab, page: Path) -> None:
    await shown(tab, page, "#p=2")

    async def counts() -> dict[str, int]:
        kinds = "['line', 'word', 'block', 'cell', 'order']"
        counted: dict[str, int] = await tab.value(
            f"Object.fromEntries({kinds}.map((kind) => [kind, Array.from(document.querySelectorAll("
            "`#page-2 svg .${kind}`)).filter((each) => each.checkVisibility()).length]))"
        )
        return counted

    assert await counts() == {"line": 5, "word": 0, "block": 0, "cell": 0, "order": 0}
    for key in "lwbto":
        await tab.press(key)
    # A word more than lines; a box of the table and its cells; a way and its stations.
    assert await counts() == {"line": 0, "word": 6, "block": 2, "cell": 3, "order": 6}
    await tab.click(*await middle(tab, "#layers input[value=words]"))
    assert (await counts())["word"] == 0


async def test_keys_pass_from_line_to_line_and_page_to_page(tab: Tab, page: Path) -> None:
    await shown(tab, page)
    for _ in range(len(PAGES[0]) + 1):
        await tab.press("j")
    assert await marked(tab, "selected") == both(2, 0)
    await tab.press("k")
    assert await marked(tab, "selected") == both(1, len(PAGES[0]) - 1)
    await tab.press("Escape")
    await tab.press("ArrowRight")
    await tab.press("ArrowRight")
    assert await tab.value("location.hash") == "#p=3"


async def test_dark_colours_follow_the_system(tab: Tab, page: Path) -> None:
    await shown(tab, page)
    light = np.asarray(await tab.picture())[600, 3]
    await tab.prefer("dark")
    dark = np.asarray(await tab.picture())[600, 3]
    assert light.min() > 200
    assert dark.max() < 60


async def test_data_of_pages_is_never_laid_out(tab: Tab, page: Path) -> None:
    """A style of pages that met their data too once made long documents slow to open."""
    # As it is while the file is read: the program at its end takes the data away.
    text = page.read_text(encoding="utf-8")
    early = page.with_name("early.html")
    early.write_text(text[: text.rindex("<script>")], encoding="utf-8")
    await tab.go(early)
    data = "[...document.querySelectorAll('body script')]"
    assert await tab.value(f"{data}.length") > 2
    assert await tab.value(f"{data}.every((each) => getComputedStyle(each).display === 'none')")
