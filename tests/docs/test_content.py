"""README.md can be read in two minutes and tells what was measured; faults and checks are all explained."""

import re

import pytest
from PIL import Image

from consumer.domain.errors import Code
from tests.docs import make_docs
from tests.docs.pages import ROOT, page

MOST_WORDS = 1400
LONGEST_LINE = 160
MOST_PICTURE_BYTES = 150_000

README = page("README.md")


def test_it_is_short() -> None:
    assert len(README.text.split()) <= MOST_WORDS
    assert max(map(len, README.text.splitlines())) <= LONGEST_LINE


def test_pages_that_it_sends_to_have_lines_that_can_be_read() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        lines = page(f"docs/{path.name}").text.splitlines()
        # A row of a table is one line.
        assert max(len(line) for line in lines if not line.startswith("|")) <= LONGEST_LINE, path.name


def test_it_leads_to_every_page_of_documents() -> None:
    missing = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} - set(README.links)
    assert missing == set()


def test_its_picture_is_small_and_as_wide_as_the_page() -> None:
    assert make_docs.PICTURE.relative_to(ROOT).as_posix() in README.links
    assert make_docs.PICTURE.stat().st_size < MOST_PICTURE_BYTES
    with Image.open(make_docs.PICTURE) as picture:
        assert picture.width == make_docs.WIDTH_PX


def rows(name: str, start: str) -> list[list[str]]:
    """Cells of the rows of the table that begins so, without its head."""
    table = page(name).text.split(f"\n{start}")[1].split("\n\n")[0]
    lines = (line for line in table.splitlines()[2:] if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_its_figures_are_those_that_were_measured() -> None:
    measured = {row[0]: row[1:] for row in rows("bench/RESULTS.md", "|  | pages a minute")}
    told = rows("README.md", "| | Pages a minute")
    assert len(told) > 3
    for name, rate, f1, processor_s, usd in told:
        (found,) = [cells for each, cells in measured.items() if name.startswith(each)]
        assert (rate, processor_s, usd) == (found[0].split()[0], found[2], found[6])
        assert f1 == f"{float(found[4]):.3f}"


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_meaning_and_a_remedy(code: Code) -> None:
    rows = [line.split(" | ") for line in page("docs/faults.md").text.splitlines() if line[:3] == "| `"]
    found = [row for row in rows if row[0] == f"| `{code}`"]
    assert found
    for _, means, remedy in found:
        assert means.strip()
        assert remedy.strip(" |")


def test_every_check_of_the_doctor_is_explained() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "consumer/doctor").glob("*.py"))
    checks = set(re.findall(r"(?:Finding|_missing)\(\s*\"([a-z ]+)\"", source))
    assert len(checks) > 10
    assert {row[0] for row in rows("docs/faults.md", "| Check | A fault, if")} == {
        f"`{name}`" for name in checks
    }
