"""Files that are there whole or not at all."""

import os
import stat
import threading
from pathlib import Path

import pytest

from consumer.cli.whole_file import whole_file


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [(path.name, b"new")]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_after_an_error_the_one_before_is_still_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def write() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"old")
    (tmp_path / "link").symlink_to("a.txt")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "a.txt").read_bytes()) == (True, b"new")

    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with whole_file(pipe) as file:
        file.write(b"through")
    reader.join(300)
    assert (pipe.is_fifo(), read) == (True, [b"through"])
