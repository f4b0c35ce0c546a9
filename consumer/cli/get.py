"""`bucket-ocr get`: results of documents."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Protocol

import typer

from consumer.cli.exits import ExitStatus
from consumer.cli.page_choice import ALL_PAGES, PageChoice
from consumer.cli.progress import counted
from consumer.cli.refusals import Refusals
from consumer.cli.standard_error import complain
from consumer.cli.standard_output import ByteWriter, outlive_reader, print_done
from consumer.cli.uris import location, shown
from consumer.cli.whole_file import whole_file
from consumer.domain import keys
from consumer.domain.errors import ServiceError, SourceChangedError, SourceGoneError
from consumer.domain.result import Source
from consumer.ports import ObjectStore
from consumer.service import inventory

#: How a result is printed.
Form = Literal["json", "markdown", "text", "csv"]

#: What follows the name of the source in the name of a file.
_ENDINGS: Final = {"json": keys.RESULT_SUFFIX, "markdown": ".ocr.md", "text": ".ocr.txt", "csv": ".ocr.csv"}

#: What stands between two documents on standard output, as between their pages.
_BETWEEN: Final[dict[Form, bytes]] = {"json": b"", "markdown": b"\n", "text": b"\f", "csv": b"\r\n"}


class _Store(ObjectStore, Protocol):
    """A bucket whose objects can be read as they come."""

    def chunks(self, source: Source) -> AsyncGenerator[bytes]:
        """Yield the bytes of this very object; raises SourceChangedError, SourceGoneError."""


class _Document(NamedTuple):
    """A source; `name` is that of its file, without the ending."""

    bucket: str
    key: str
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class _Problem(Exception):  # noqa: N818
    """Why there is no output of a document, in words for the reader."""


#: Writes bytes.
_Write = Callable[[bytes], Coroutine[Any, Any, object]]

#: Gets a result; returns the file that it was written to, if it was.
_Work = Callable[[_Store, _Document], Coroutine[Any, Any, Path | None]]


def get(  # noqa: PLR0913, PLR0917 - each is an option
    sources: Annotated[
        list[str],
        typer.Argument(help="s3://bucket/key of a source, or s3://bucket/prefix/ for all below it."),
    ],
    text: Annotated[bool, typer.Option("--text", help="The text, a form feed between pages.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The markdown of all pages.")] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="The tables as CSV, an empty line between them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The whole result document (default).")] = False,
    pages: Annotated[
        str | None, typer.Option(help="Only these pages, such as 3-7 or 1,4,9-.", metavar="RANGES")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="File, or folder (also a new one that ends with /) for NAME.ocr.json, .txt, .md or .csv of "
            "each source, whose names are printed.",
        ),
    ] = None,
) -> None:
    """Print the results of sources, one after the other, or write each to a file.

    A form feed (--text) or an empty line (--markdown, --csv) stands between two documents; those of --json
    are one to a line. Exit status 1 if a document has no result, or failed: the others are written.
    """
    if text + markdown + csv + as_json > 1:
        raise typer.BadParameter("choose one of --text, --markdown, --csv and --json")
    form: Form = "text" if text else "markdown" if markdown else "csv" if csv else "json"
    try:
        choice = PageChoice.parse(pages) if pages is not None else ALL_PAGES
    except ValueError as error:
        raise typer.BadParameter(f"--pages: {error}") from error
    places = [_place(source) for source in sources]
    is_one = len(places) == 1 and not _is_prefix(places[0][1])
    # A Path would forget the / at its end.
    path = Path(output) if output is not None else None
    into_file = path is not None and is_one and not path.is_dir() and not (output or "").endswith("/")
    if path is not None and not into_file and path.exists() and not path.is_dir():
        raise typer.BadParameter(f"{shown(str(path))} is no folder: several results need one")
    if path is not None:
        outlive_reader()
    getter = Getter(form, choice, path, into_file=into_file)
    asyncio.run(_get(getter, places))
    if getter.has_problems:
        sys.exit(ExitStatus.FAILED)


async def _get(getter: "Getter", places: Sequence[tuple[str, str]]) -> None:
    from consumer.app import object_store

    async with object_store(inventory.PARALLEL_HEADS) as store:
        await getter.run(store, places)


def _place(source: str) -> tuple[str, str]:
    bucket, key = location(source)
    if keys.is_own_output(key):
        raise typer.BadParameter(f"{source} is an output: name its source, or copy it with `aws s3 cp`")
    return bucket, key


def _is_prefix(key: str) -> bool:
    return not key or key.endswith("/")


@dataclass
class Getter:
    """Gets results, in one form, to standard output (`output` None) or to files."""

    form: Form
    pages: PageChoice
    output: Path | None
    into_file: bool
    has_problems: bool = False
    _refusals: Refusals = field(init=False)
    _names: set[str] = field(default_factory=set)
    _is_first: bool = True

    def __post_init__(self) -> None:
        self._refusals = Refusals(self._report)

    async def run(self, store: _Store, places: Sequence[tuple[str, str]]) -> None:
        """Get the results of these keys, and of all sources below these prefixes.

        Raises ServiceError if the service cannot be reached, or refuses all.
        """
        documents = self._documents(store, places)
        if self.output is None:
            writer = ByteWriter()
            async with contextlib.aclosing(documents):
                async for document in documents:
                    await self._tried(partial(self._print, writer), store, document)
        else:
            await self._write_all(self.output, store, documents)
        self._refusals.end()

    async def _write_all(self, output: Path, store: _Store, documents: AsyncGenerator[_Document]) -> None:
        def look(document: _Document) -> Coroutine[Any, Any, Path | None]:
            return self._tried(partial(self._write, output), store, document)

        with counted("results looked at", prints_lines=not self.into_file) as add:
            async with contextlib.aclosing(inventory.windowed(documents, look)) as written:
                async for path in written:
                    add(1)
                    if path is not None and not self.into_file:
                        print_done(shown(str(path)))

    async def _documents(self, store: _Store, places: Sequence[tuple[str, str]]) -> AsyncGenerator[_Document]:
        for bucket, key in places:
            if not _is_prefix(key):
                yield _Document(bucket, key, key.rpartition("/")[2])
                continue
            with_result = without_result = 0
            try:
                async with contextlib.aclosing(inventory.paired(store.list(bucket, key))) as sources:
                    async for source in sources:
                        if source.has_result:
                            with_result += 1
                            yield _Document(bucket, source.key, source.key.removeprefix(key))
                        else:
                            without_result += 1
            except ServiceError as error:
                self._refusals.add(error)
                continue
            uri = f"s3://{bucket}/{key}"
            if without_result:
                self._report(
                    f"{without_result} document(s) have no result (yet): "
                    f"wait with `bucket-ocr status --watch {uri}`"
                )
            elif not with_result:
                self._report(f"there is no document at {uri}")

    async def _tried(self, work: _Work, store: _Store, document: _Document) -> Path | None:
        """Do it; a problem is reported, and the others go on."""
        path = None
        try:
            path = await work(store, document)
        except _Problem as problem:
            self._report(str(problem))
        except (SourceChangedError, SourceGoneError):
            self._report(f"{document.uri}: its result was replaced meanwhile: get it again")
        except ServiceError as error:
            self._refusals.add(error)
            return None
        self._refusals.note_other()
        return path

    def _report(self, problem: str) -> None:
        self.has_problems = True
        complain(problem)

    async def _print(self, writer: ByteWriter, store: _Store, document: _Document) -> None:
        before = b"" if self._is_first else _BETWEEN[self.form]

        async def write(chunk: bytes) -> None:
            nonlocal before
            if chunk:
                await writer.write(before + chunk)
                before, self._is_first = b"", False

        await self._copy(store, document, write)

    async def _write(self, path: Path, store: _Store, document: _Document) -> Path:
        if not self.into_file:
            name = f"{document.name}{_ENDINGS[self.form]}"
            # A key may be anything, and must not lead out of the folder.
            if {"", ".", ".."} & set(document.name.split("/")) or "\0" in name:
                raise _Problem(f"{document.uri}: its key names no file: get it by itself, with -o FILE")
            if name in self._names:
                raise _Problem(f"{document.uri}: another has its name: get it by itself, with -o FILE")
            self._names.add(name)
            path = path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                await self._copy(store, document, lambda chunk: asyncio.to_thread(file.write, chunk))
        except OSError as error:
            raise _Problem(f"{document.uri}: {error}") from error
        return path

    async def _copy(self, store: _Store, document: _Document, write: _Write) -> None:
        """Write a result as it comes; raises _Problem, SourceChangedError, SourceGoneError."""
        from consumer.cli.result_stream import NoResultError, open_stream

        result_key, problem = keys.result_key(document.key), None
        info = await store.head(document.bucket, result_key)
        if info is None:
            raise _Problem(
                f"{document.uri} has no result (yet): wait with `bucket-ocr status --watch {document.uri}`"
            )
        try:
            async with contextlib.aclosing(store.chunks(info.source.by_etag())) as chunks:
                result = await open_stream(chunks, self.pages)
                if result.error is not None:
                    problem = _Problem(f"{document.uri}: {result.error.code.value}: {result.error.message}")
                    if self.form != "json":
                        raise problem
                elif self.pages != ALL_PAGES and not self.pages.count(result.page_count):
                    raise _Problem(f"{document.uri} has {result.page_count} page(s), and none of these")
                forms = {"json": result.json, "markdown": result.markdown}
                forms |= {"text": result.text, "csv": result.csv}
                async for chunk in forms[self.form]():
                    await write(chunk)
        except NoResultError as error:
            raise _Problem(f"s3://{document.bucket}/{result_key} is no result document") from error
        if problem is not None:
            self._report(str(problem))
