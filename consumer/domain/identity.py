"""When a result is current: made from the same source, by the same engine, in the same way."""

import hashlib
import json
from collections.abc import Mapping
from typing import Final, Self

from pydantic import BaseModel, Field, ValidationError

from consumer.domain.errors import Code
from consumer.domain.outputs import OutputRecord
from consumer.domain.result import SCHEMA_VERSION, ResultDocument, Source, Status

#: Names of the user metadata that every output object carries (S3 prefixes them with x-amz-meta-).
STATUS: Final = "ocr-status"
SOURCE_ETAG: Final = "ocr-source-etag"
SOURCE_VERSION_ID: Final = "ocr-source-version-id"
FINGERPRINT: Final = "ocr-fingerprint"
SCHEMA: Final = "ocr-schema-version"

#: In the place of a fingerprint if the source, or a page of it, was not read: any later job replaces such a
#: result.
NOT_READ: Final = "none"
NOT_READ_CODES: Final = frozenset(
    {Code.RETRIES_EXHAUSTED, Code.INVALID_OPTIONS, Code.ARCHIVED, Code.KEY_REQUIRED}
)


def fingerprint(engine: str, version: str, models: Mapping[str, str], options: Mapping[str, object]) -> str:
    """Digest of everything that changes the result for the same bytes, as `sha256:<hex>`.

    `options` are the settings that change a result (resolution, say). The device is left out on
    purpose: moving from one machine to another must not read a million documents again.
    """
    facts = {"engine": engine, "version": version, "models": dict(models), "options": dict(options)}
    facts["schema"] = SCHEMA_VERSION
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    return f"sha256:{digest.hexdigest()}"


class ResultHead(BaseModel, frozen=True, populate_by_name=True):
    """A result as its metadata describe it, without its body.

    `code` is that of a failure; `page_count` is None if the metadata lacks it. `outputs`: an `OutputRecord`,
    None if there are no other outputs.
    """

    status: Status = Field(alias=STATUS)
    source_etag: str = Field(alias=SOURCE_ETAG)
    source_version_id: str | None = Field(default=None, alias=SOURCE_VERSION_ID)
    fingerprint: str = Field(alias=FINGERPRINT)
    schema_version: str | None = Field(default=None, alias=SCHEMA)
    page_count: int | None = Field(default=None, alias="ocr-page-count")
    code: str | None = Field(default=None, alias="ocr-code")
    outputs: str | None = Field(default=None, alias="ocr-outputs")

    @classmethod
    def of(cls, document: ResultDocument) -> Self:
        """Describe a document."""
        code = document.error.code if document.error else None
        reasons = {code, *(warning.code for warning in document.warnings)}
        return cls(
            status=document.status,
            source_etag=document.source.etag,
            source_version_id=document.source.version_id,
            fingerprint=NOT_READ if reasons & NOT_READ_CODES else document.engine.fingerprint,
            schema_version=document.schema_version,
            page_count=document.page_count,
            code=code,
        )

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self | None:
        """Read the object's metadata; None if they are not those of one of our results."""
        try:
            return cls.model_validate(metadata)
        except ValidationError:
            return None

    @property
    def metadata(self) -> dict[str, str]:
        """User metadata of the result object."""
        fields = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: str(value) for name, value in fields.items()}

    @property
    def output_record(self) -> OutputRecord:
        """The other outputs that were written with the result, or could not be."""
        return OutputRecord.parse(self.outputs or "")

    @property
    def may_have_outputs(self) -> bool:
        """Whether other outputs go with it: not if it failed, nor if pages are still to be read."""
        return self.status is not Status.FAILURE and self.fingerprint != NOT_READ

    def is_of(self, source: Source) -> bool:
        """Whether the result was made from this very source object."""
        return (self.source_etag, self.source_version_id) == (source.etag, source.version_id)

    def is_current(self, source: Source, fingerprint: str) -> bool:
        """Whether reading the source again would give the same result."""
        return self.is_of(source) and self.fingerprint == fingerprint
