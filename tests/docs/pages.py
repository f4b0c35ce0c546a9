"""The Markdown files of the repository: text, headings, links, blocks of code."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_BLOCK: Final = re.compile(r"^ *```(\w*)(?: (\S+))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: The target of a link or a picture; a text in brackets alone is none.
_LINK: Final = re.compile(r"\]\(\s*([^)\s]+)\s*\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+?)(?: #+)?$", re.MULTILINE)


@dataclass(frozen=True)
class MarkdownPage:
    """A file of the repository."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """All but blocks of code."""
        return _BLOCK.sub("", self.text)

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures, without those in quoted code."""
        return _LINK.findall(re.sub(r"`[^`\n]*`", "", self.prose))

    @property
    def anchors(self) -> set[str]:
        """Names of the headings, as they stand in links."""
        anchors: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            same = (f"{slug}-{number}" for number in range(1, 100))
            anchors.add(slug if slug not in anchors else next(name for name in same if name not in anchors))
        return anchors

    @property
    def commands(self) -> str:
        """All blocks of commands."""
        return "\n".join(code for language, _, code in _BLOCK.findall(self.text) if language in {"", "sh"})

    @property
    def blocks(self) -> dict[str, str]:
        """Blocks of code that have a name behind their language."""
        return {name: code for _, name, code in _BLOCK.findall(self.text) if name}


def pages() -> Iterator[MarkdownPage]:
    """Yield all that git tracks, or would."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            yield MarkdownPage(ROOT / name)


def page(name: str) -> MarkdownPage:
    return MarkdownPage(ROOT / name)
