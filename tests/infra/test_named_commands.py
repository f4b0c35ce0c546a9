"""Commands of `bucket-ocr` that pages, templates, programs and messages name exist."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from consumer.cli import app
from tests.infra.dockerfile import ROOT

PLACES = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "NOTICE",
    ".env.example",
    "Makefile",
    "Dockerfile",
)
FOLDERS = ("consumer", "infra", "localstack", "docs", "bench")

#: In code and pages a command is quoted; in a block of commands it begins a line, after variables or a path.
QUOTED = re.compile(r"`(?:\S+=\S+ )*bucket-ocr (-{0,2}[a-z][^`]*)`")
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^[ ]*(?:\S+=\S+ |\S*/)*bucket-ocr +([a-z][^#|\n]*)", re.MULTILINE)


def commands() -> dict[str, set[str]]:
    """Options by the words of a command."""
    root = typer.main.get_command(app)
    found: dict[str, set[str]] = {}

    def add(words: str, command: object) -> None:
        found[words] = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}  # type: ignore[attr-defined]
        for name, child in getattr(command, "commands", {}).items():
            add(f"{words} {name}".strip(), child)

    add("", root)
    return found


def files() -> Iterator[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", *PLACES, *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.splitlines():
        if Path(name).suffix in {".md", ".py", ".yaml", ".yml", ".sh", ".in", ".example", ""}:
            yield ROOT / name


def named(text: str) -> Iterator[str]:
    """Yield what follows the program's name wherever a command is named."""
    yield from QUOTED.findall(text)
    for language, block in BLOCK.findall(text):
        if language in {"", "sh"}:
            yield from LINE.findall(block)
    # A remedy of the doctor, in words.
    yield from re.findall(r"(?:run|see|: )\s?bucket-ocr ([a-z]+(?: [a-z]+)?)", text)


def problem(words: str, known: dict[str, set[str]]) -> str | None:
    """What is wrong with a command; None if it exists with all of its options."""
    every = words.split()
    if re.fullmatch(r"--[\w-]+", every[0]):
        return None if every[0] in known[""] | {"--help"} else every[0]
    first = every[0].strip("`,.;:")
    is_group = any(name.startswith(f"{first} ") for name in known)
    name = f"{first} {every[1].strip('`,.;:|')}" if is_group and len(every) > 1 else first
    # `models list|pull|verify` names three.
    name = name.partition("|")[0]
    if name not in known:
        return name
    options = {word.split("=")[0].strip("[]`,.") for word in every if word.startswith("--") and word != "--"}
    return next(iter(sorted(options - known[name] - {"--help"})), None)


def test_every_command_that_is_named_exists() -> None:
    known = commands()
    wrong = {
        (str(path.relative_to(ROOT)), words, found)
        for path in files()
        for words in named(path.read_text(encoding="utf-8"))
        if (found := problem(words, known)) is not None
    }
    assert wrong == set()


def test_commands_are_found_where_they_are_named() -> None:
    for page, command in (("README.md", "submit --wait "), ("docs/engines-and-languages.md", "models pull")):
        assert any(words.startswith(command) for words in named((ROOT / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see `bucket-ocr letters redrive`", "letters"),
        ("```\nbucket-ocr run --fast\n```", "--fast"),
        ("```sh\n.venv/bin/bucket-ocr models drop\n```", "models drop"),
        ("`BUCKET_OCR_LANGUAGES=ru bucket-ocr models pull`", None),
        ("see bucket-ocr refill", "refill"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, wrong: str | None) -> None:
    (words,) = named(text)
    assert problem(words, commands()) == wrong
