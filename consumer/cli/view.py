"""`bucket-ocr view`: a result on the pages of its source, in a browser."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consumer.cli.exits import ExitStatus
from consumer.cli.progress import counted
from consumer.cli.standard_error import complain
from consumer.cli.uris import location, shown
from consumer.cli.whole_file import whole_file
from consumer.clock import SystemClock, Watchdog
from consumer.domain import keys
from consumer.domain.errors import SourceChangedError, SourceGoneError

if TYPE_CHECKING:
    from consumer.viewer.document import ViewedDocument


def view(
    source: Annotated[str, typer.Argument(help="s3://bucket/key of the source, or a local copy of it.")],
    result: Annotated[
        Path | None,
        typer.Option(help="Its result, a local file; default: SOURCE.ocr.json.", exists=True, dir_okay=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: NAME.ocr.html here.", dir_okay=False),
    ] = None,
) -> None:
    """Write one HTML page that shows a result on the pages of its source, and print its name.

    Lines, words, blocks, tables and reading order over the pictures of the pages; search; a threshold for
    the confidence; links to a page and line (#p=12&l=40). The file needs no network and nothing beside it.
    Exit status 1 if there is no result, if the document failed, or if the source has changed since.
    """
    from consumer.viewer.document import ViewError

    if source.startswith("s3://"):
        bucket, key = location(source)
        if not key or result is not None:
            raise typer.BadParameter(
                f"{source} names no object" if not key else "--result is of a local file"
            )
        name = key.rpartition("/")[2] or key
    elif not Path(source).is_file():
        raise typer.BadParameter(f"{shown(source)} is no file, and not of the form s3://bucket/key")
    else:
        bucket, key, name = None, source, Path(source).name
    target = output or Path(f"{name}.ocr.html")
    if not target.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {shown(str(target.parent))}")
    try:
        asyncio.run(_view(bucket, key, result, target))
    except (ViewError, OSError) as error:
        complain(str(error))
        sys.exit(ExitStatus.FAILED)
    typer.echo(shown(str(target)))


async def _view(bucket: str | None, key: str, result: Path | None, target: Path) -> None:
    from consumer.service.work_dir import work_folder
    from consumer.viewer.document import ViewedDocument

    async with work_folder(None) as work:
        if bucket is None:
            source = Path(key)
            document = ViewedDocument(source.name, result or Path(keys.result_key(key)), source)
        else:
            document = await _fetched(bucket, key, work.path)
        stored = document.stored()
        with counted("pages rendered", stored.head.page_count) as add, whole_file(target) as file:
            await document.write(stored, work.path, file, lambda: add(1))


async def _fetched(bucket: str, key: str, folder: Path) -> "ViewedDocument":
    """Download the result of a source, and the very source that it is of."""
    from consumer.app import object_store
    from consumer.viewer.document import ViewedDocument, ViewError

    uri = f"s3://{bucket}/{key}"
    document = ViewedDocument(key.rpartition("/")[2] or key, folder / "result", folder / "source")
    async with object_store() as store:
        info = await store.head(bucket, keys.result_key(key))
        if info is None:
            raise ViewError(f"{uri} has no result (yet): wait with `bucket-ocr status --watch {uri}`")
        try:
            await store.download(info.source.by_etag(), document.result, Watchdog(SystemClock()))
            # It may have been copied, with its source, from another place.
            source = document.stored().head.source.model_copy(update={"bucket": bucket, "key": key})
            await store.download(source.by_etag(), document.source, Watchdog(SystemClock()))
        except (SourceChangedError, SourceGoneError) as error:
            raise ViewError(f"{uri} has changed since it was read: see `bucket-ocr status {uri}`") from error
    return document
