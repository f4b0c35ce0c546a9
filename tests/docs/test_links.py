"""Links between documents lead somewhere."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import MarkdownPage, page, pages


def broken(source: MarkdownPage) -> list[str]:
    """Links of a page to files or headings that there are not."""
    return [link for link in source.links if not urlsplit(link).scheme and not _leads(source, link)]


def _leads(source: MarkdownPage, link: str) -> bool:
    name, _, anchor = unquote(link).partition("#")
    target = (source.path.parent / name).resolve() if name else source.path
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in MarkdownPage(target).anchors)


def test_every_link_to_a_file_or_a_heading_leads_there() -> None:
    found = {each.name: links for each in pages() if (links := broken(each))}
    assert found == {}


def test_there_are_links() -> None:
    links = {link for each in pages() for link in each.links}
    assert {"docs/result.md", "../infra/storage.md#dead-letters"} <= links


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        ("other.md", False),
        ("other.md#a-second--heading", False),
        ("#twice-1", False),
        ("https://example.com/nowhere#at-all", False),
        ("gone.md", True),
        ("other.md#gone", True),
        ("#gone", True),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, is_broken: bool, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A *second* `&` heading\n```\n# gone\n```\n")
    source = tmp_path / "page.md"
    source.write_text(f"# Twice\n# Twice\n[text]({link}) and `[no](link.md)`\n")
    assert broken(MarkdownPage(source)) == ([link] if is_broken else [])


def test_a_block_of_code_is_found_by_its_name() -> None:
    assert page("docs/cookbook.md").blocks["pattern.json"].startswith("{\n")
