"""When a result is current: made from the same source, by the same engine, in the same way."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from consumer.domain.errors import Code
from consumer.domain.result import SCHEMA_VERSION, ResultDocument, Source, Status

#: Names of the user metadata that every output object carries (S3 prefixes them with x-amz-meta-).
STATUS: Final = "ocr-status"
SOURCE_ETAG: Final = "ocr-source-etag"
SOURCE_VERSION_ID: Final = "ocr-source-version-id"
FINGERPRINT: Final = "ocr-fingerprint"
SCHEMA: Final = "ocr-schema-version"
PAGE_COUNT: Final = "ocr-page-count"
CODE: Final = "ocr-code"

#: In the place of a fingerprint if the source was not read: any later job replaces such a result.
NOT_READ: Final = "none"
_NOT_READ_CODES: Final = frozenset({Code.RETRIES_EXHAUSTED, Code.INVALID_OPTIONS})


def fingerprint(engine: str, version: str, models: Mapping[str, str], options: Mapping[str, object]) -> str:
    """Digest of all that decides what is read from the same bytes, as `sha256:<hex>`.

    `options` are the settings that change a result (resolution, say). The device is left out on
    purpose: moving from one machine to another must not read a million documents again.
    """
    facts = {"engine": engine, "version": version, "models": dict(models), "options": dict(options)}
    facts["schema"] = SCHEMA_VERSION
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class ResultHead:
    """A result as HEAD describes it, without its body.

    `code` is that of a failure; `page_count` is None if the metadata lacks it.
    """

    etag: str
    status: Status
    source_etag: str
    source_version_id: str | None
    fingerprint: str
    code: str | None
    page_count: int | None

    @classmethod
    def from_metadata(cls, etag: str, metadata: Mapping[str, str]) -> Self | None:
        """Read the object's metadata; None if they are not those of one of our results."""
        try:
            return cls(
                etag=etag,
                status=Status(metadata[STATUS]),
                source_etag=metadata[SOURCE_ETAG],
                source_version_id=metadata.get(SOURCE_VERSION_ID),
                fingerprint=metadata[FINGERPRINT],
                code=metadata.get(CODE),
                page_count=int(metadata[PAGE_COUNT]) if PAGE_COUNT in metadata else None,
            )
        except (KeyError, ValueError):
            return None

    def is_of(self, source: Source) -> bool:
        """Whether the result was made from this very source object."""
        return (self.source_etag, self.source_version_id) == (source.etag, source.version_id)

    def is_current(self, source: Source, fingerprint: str) -> bool:
        """Whether reading the source again would give the same result."""
        return self.is_of(source) and self.fingerprint == fingerprint


def metadata(document: ResultDocument) -> dict[str, str]:
    """User metadata of the result object of a document."""
    is_read = document.error is None or document.error.code not in _NOT_READ_CODES
    facts = {
        STATUS: document.status.value,
        SOURCE_ETAG: document.source.etag,
        FINGERPRINT: document.engine.fingerprint if is_read else NOT_READ,
        SCHEMA: document.schema_version,
        PAGE_COUNT: str(document.page_count),
        CODE: document.error.code.value if document.error else None,
        SOURCE_VERSION_ID: document.source.version_id,
    }
    return {name: value for name, value in facts.items() if value is not None}
