"""A command of the tests that hangs is ended, and told."""

import os
from pathlib import Path

import pytest

from tests.e2e import forked


def test_a_command_that_hangs_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "COMMAND_S", 1.0)
    # Nobody writes into it, so it waits for ever.
    os.mkfifo(tmp_path / "keys")
    arguments = ("backfill", "s3://inbox/", "--files-from", "keys")
    with pytest.raises(AssertionError, match="did not end within 1 s"):
        forked.bucket_ocr(os.environ, tmp_path, *arguments, is_terminal=False)
