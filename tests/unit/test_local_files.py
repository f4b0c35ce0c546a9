"""Files to be uploaded: what is found in folders and by patterns, and what is left out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.cli.local_files import FoundFiles

PDF = b"%PDF-1.7"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with all that a folder may have."""
    folder = tmp_path / "scans"
    for name in ("b.PDF", "a.tiff", "2026/06/c.jpg", ".git/x.pdf", "2026/.hidden.pdf", "2026/c.pdf.ocr.json"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PDF)
    (folder / "notes.txt").write_bytes(b"notes")
    (folder / "2026" / "no extension").write_bytes(PDF)
    os.mkfifo(folder / "pipe.pdf")
    return folder


def found(*sources: object) -> FoundFiles:
    files = FoundFiles()
    for source in sources:
        assert files.add(str(source))
    return files


def names(*sources: object) -> list[str]:
    return [file.name for file in found(*sources).files]


def test_a_folder_is_its_documents_with_their_paths_below_it(folder: Path) -> None:
    files = found(folder)
    assert [file.name for file in files.files] == ["a.tiff", "b.PDF", "2026/no extension", "2026/06/c.jpg"]
    assert all(file.path == folder / file.name for file in files.files)
    assert files.skipped == {"hidden": 2, "of other types": 1, "outputs": 1, "no regular files": 1}
    assert files.problems == []


def test_a_file_that_is_named_is_taken_whatever_it_is(folder: Path) -> None:
    hidden = folder / "2026" / ".hidden.pdf"
    assert names(folder / "notes.txt", hidden) == ["notes.txt", ".hidden.pdf"]


def test_a_pipe_that_is_named_is_a_problem_and_not_waited_for(folder: Path) -> None:
    files = found(folder / "pipe.pdf", folder / "a.tiff")
    assert [file.name for file in files.files] == ["a.tiff"]
    assert files.problems == [f"{folder}/pipe.pdf is a pipe or a device: give it to `bucket-ocr submit -`"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["a.tiff", "b.PDF"]),
        ("*.tif*", ["a.tiff"]),
        ("**", ["a.tiff", "b.PDF", "2026/no extension", "2026/06/c.jpg"]),
        ("**/*.jpg", ["2026/06/c.jpg"]),
        ("**/[ab].*", ["a.tiff", "b.PDF"]),
        ("2026/*", ["no extension"]),
        ("20?6/**/c.*", ["2026/06/c.jpg"]),
    ],
)
def test_a_pattern_is_the_documents_that_match_with_their_paths_below_its_folder(
    folder: Path, pattern: str, expected: list[str]
) -> None:
    assert names(folder / pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "entered"),
    [("*", ["scans"]), ("20*/0?/*.jpg", ["scans", "2026", "06"]), ("2026/0?/*", ["2026", "06"])],
)
def test_a_pattern_enters_no_folder_that_cannot_match(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, entered: list[str]
) -> None:
    (folder / "lost").mkdir()
    (folder / "lost" / ".hidden.pdf").write_bytes(PDF)
    listed: list[str] = []
    iterdir = Path.iterdir

    def noted(path: Path) -> Iterator[Path]:
        listed.append(path.name)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", noted)
    files = found(folder / pattern)
    assert listed == entered
    assert files.skipped["hidden"] == (pattern == "*")


def test_a_name_with_signs_of_a_pattern_is_a_name_if_there_is_such_a_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].pdf").write_bytes(PDF)
    assert names(tmp_path / "a[1].pdf") == ["a[1].pdf"]


@pytest.mark.parametrize("name", ["missing.pdf", "*.xyz", "no/*.pdf"])
def test_what_is_not_there_is_told(folder: Path, name: str) -> None:
    assert not FoundFiles().add(str(folder / name))


def test_links_are_followed_but_never_round_and_round(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.pdf").write_bytes(PDF)
    for link, target in (("up", ".."), ("self", "."), ("out", "../../out"), ("b.pdf", "../../out/a.pdf")):
        (tmp_path / "in" / "deep" / link).symlink_to(target)
    (tmp_path / "in" / "broken.pdf").symlink_to("nowhere")
    (tmp_path / "out" / "back").symlink_to("../in")
    files = found(tmp_path / "in")
    assert [file.name for file in files.files] == ["deep/b.pdf", "deep/out/a.pdf"]
    assert files.skipped == {"links to a folder above": 3, "broken links": 1}
    assert names(tmp_path / "in" / "**" / "a.pdf") == ["deep/out/a.pdf"]
