"""S3 Inventory: lists of a bucket's objects that S3 makes once a day or a week, as CSV.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote_plus

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from consumer.domain.errors import BucketOcrError


class InventoryError(BucketOcrError):
    """It is no manifest of an inventory, or of none that can be read."""


class _File(BaseModel):
    key: str


def _is_csv(name: str) -> str:
    if name != "CSV":
        raise ValueError(f"is {name}: only CSV is read, so configure an inventory as CSV")
    return name


class Manifest(BaseModel):
    """A `manifest.json`; `destination`: ARN of the bucket with the files, `columns`: of each row."""

    bucket: str = Field(alias="sourceBucket")
    destination: str = Field(alias="destinationBucket")
    file_format: Annotated[str, AfterValidator(_is_csv)] = Field(alias="fileFormat")
    file_schema: str = Field(alias="fileSchema")
    files: list[_File]

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read a manifest; raises InventoryError."""
        try:
            manifest = cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "it"
            raise InventoryError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error
        if "Key" not in manifest.columns:
            raise InventoryError("fileSchema: has no Key")
        return manifest

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return [name.strip() for name in self.file_schema.split(",")]

    @property
    def place(self) -> str:
        """Bucket with the files."""
        return self.destination.rpartition(":")[2]

    def keys(self, path: Path) -> Iterator[str]:
        """Yield the keys of a file, without older versions and what was deleted; raises InventoryError."""
        try:
            with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
                for row in csv.reader(file):
                    cells = dict(zip(self.columns, row, strict=True))
                    is_there = cells.get("IsLatest") != "false" and cells.get("IsDeleteMarker") != "true"
                    if is_there:
                        # Encoded as in events.
                        yield unquote_plus(cells["Key"], errors="strict")
        except (OSError, EOFError, ValueError, csv.Error) as error:
            raise InventoryError(f"a file of it cannot be read: {error}") from error
