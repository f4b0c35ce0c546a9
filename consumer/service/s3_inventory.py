"""S3 Inventory: lists of a bucket's objects that S3 makes once a day or a week, as CSV or Parquet.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import csv
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import unquote_plus

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from consumer.domain.errors import BucketOcrError

#: Columns of Parquet files: with older versions of objects, the last two too.
_PARQUET_KEY: Final = "key"
_PARQUET_COLUMNS: Final = (_PARQUET_KEY, "is_latest", "is_delete_marker")
#: Rows that are held at once.
_PARQUET_ROWS: Final = 10_000


class InventoryError(BucketOcrError):
    """It is no manifest of an inventory, or of none that can be read."""


class _File(BaseModel):
    key: str


def _is_read(name: str) -> str:
    if name not in {"CSV", "Parquet"}:
        raise ValueError(
            f"is {name}: only CSV and Parquet are read, so configure an inventory as one of them"
        )
    return name


class Manifest(BaseModel):
    """A `manifest.json`; `destination`: ARN of the bucket with the files."""

    bucket: str = Field(alias="sourceBucket")
    destination: str = Field(alias="destinationBucket")
    file_format: Annotated[str, AfterValidator(_is_read)] = Field(alias="fileFormat")
    file_schema: str = Field(alias="fileSchema")
    files: list[_File]

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read a manifest; raises InventoryError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "it"
            raise InventoryError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error

    @property
    def place(self) -> str:
        """Bucket with the files."""
        return self.destination.rpartition(":")[2]

    def keys(self, path: Path) -> Iterator[str]:
        """Yield the keys of a file, without older versions and what was deleted; raises InventoryError."""
        return self._keys_of_csv(path) if self.file_format == "CSV" else _keys_of_parquet(path)

    def _keys_of_csv(self, path: Path) -> Iterator[str]:
        columns = [name.strip() for name in self.file_schema.split(",")]
        if "Key" not in columns:
            raise InventoryError("fileSchema: has no Key")
        try:
            with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
                for row in csv.reader(file):
                    cells = dict(zip(columns, row, strict=True))
                    is_there = cells.get("IsLatest") != "false" and cells.get("IsDeleteMarker") != "true"
                    if is_there:
                        # Encoded as in events.
                        yield unquote_plus(cells["Key"], errors="strict")
        except (OSError, EOFError, ValueError, csv.Error) as error:
            raise InventoryError(f"a file of it cannot be read: {error}") from error


def _keys_of_parquet(path: Path) -> Iterator[str]:
    # Keys are as they are: only in CSV are they encoded.
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InventoryError("is Parquet: to read it, install pyarrow (the extra `parquet`)") from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = [name for name in _PARQUET_COLUMNS if name in file.schema_arrow.names]
            if _PARQUET_KEY not in columns:
                raise InventoryError("a file of it has no column `key`")
            for batch in file.iter_batches(_PARQUET_ROWS, columns=columns):
                yield from (_text(row[_PARQUET_KEY]) for row in batch.to_pylist() if _is_there(row))
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise InventoryError(f"a file of it cannot be read: {error}") from error


def _is_there(row: Mapping[str, Any]) -> bool:
    return row.get("is_latest") is not False and row.get("is_delete_marker") is not True


def _text(key: str | bytes) -> str:
    """Return a key; a column without the annotation of text has bytes."""
    return key if isinstance(key, str) else key.decode()
