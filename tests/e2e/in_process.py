"""Commands of `bucket-ocr` in this process, which is some seconds faster than a process of their own."""

import contextlib
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from consumer import cli


def bucket_ocr(
    environment: Mapping[str, str], folder: Path, *arguments: object
) -> subprocess.CompletedProcess[str]:
    """Run a command as `stack.bucket_ocr` does."""
    words = ["bucket-ocr", *map(str, arguments)]
    output, errors = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
    return subprocess.CompletedProcess(
        words, int(end.value.code or 0), output.buffer.getvalue().decode(), errors.getvalue()
    )
