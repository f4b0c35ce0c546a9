"""Files that are there whole or not at all."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that gets its name at the end; after an error the one before is still there.

    Raises OSError.
    """
    if path.exists() and not path.is_file():
        # A device or a pipe, such as /dev/stdout, cannot be replaced.
        with path.open("wb") as file:
            yield file
        return
    # Through a link, to the file that it names; a longer name than its own may be too long.
    target = path.resolve()
    part = target.with_name(f".bucket-ocr-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
