"""Make targets and settings that documents name exist; of commands: `infra/test_named_commands.py`."""

import re
from pathlib import Path

import pytest

from consumer.settings import PREFIX, Settings
from tests.docs.pages import ROOT, MarkdownPage, pages

#: In code a target is quoted, or begins a line of a block of commands.
_QUOTED = re.compile(r"`(?:\S+=(?:\S+|\"[^\"]*\") )*make ([a-z][\w/-]*)")
_LINE = re.compile(r"^(?:\S+=\S+ )*make ([a-z][\w/-]*)", re.MULTILINE)
_SETTING = re.compile(rf"\b{PREFIX}([A-Z][A-Z0-9_]*[A-Z0-9])\b")

#: Kubernetes sets it in every pod if a service is named bucket-ocr.
_NO_SETTINGS = {"SERVICE_HOST"}


def targets() -> set[str]:
    """Targets of the Makefile; of patterns, those that there are."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    benches = re.findall(r"^BENCHES := (.*)$", makefile, re.MULTILINE)[0].split()
    return {f"bench/{name}" for name in benches} | set(
        re.findall(r"^([a-z][\w/-]*):", makefile, re.MULTILINE)
    )


def unknown(source: MarkdownPage) -> set[str]:
    """Targets and settings in a page that there are not."""
    made = {*_QUOTED.findall(source.prose), *_LINE.findall(source.commands)}
    settings = set(_SETTING.findall(source.text)) - _NO_SETTINGS
    return (made - targets()) | (settings - set(map(str.upper, Settings.model_fields)))


@pytest.mark.parametrize("source", [*pages()], ids=lambda source: source.name)
def test_every_make_target_and_every_setting_that_is_named_exists(source: MarkdownPage) -> None:
    assert unknown(source) == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run `make tea`", {"tea"}),
        ("`BASE=.. make bench/tea`, `make bench/memory`", {"bench/tea"}),
        ("```sh\nmake demo\nmake tea\n```", {"tea"}),
        ("`BUCKET_OCR_TEA=1`, BUCKET_OCR_QUEUE_URL", {"TEA"}),
        ("they make tea", set()),
    ],
)
def test_what_does_not_exist_is_found(text: str, found: set[str], tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    assert unknown(MarkdownPage(path)) == found
