"""When a result is still the right one."""

from datetime import UTC, datetime
from typing import Any

import pytest

from consumer.domain import result
from consumer.domain.assembly import failure
from consumer.domain.errors import Code
from consumer.domain.identity import ResultHead, fingerprint

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "engine": "rapidocr",
    "version": "3.10",
    "models": {"detect": "d1", "read": "r1"},
    "options": {"scale": 2.0, "max_pages": 5},
}


def source(etag: str = "e1", version_id: str | None = None) -> result.Source:
    return result.Source(
        bucket="inbox",
        key="a.pdf",
        version_id=version_id,
        etag=etag,
        size_bytes=1,
        content_type=None,
        last_modified=NOW,
    )


def stored(
    version_id: str | None = None, code: Code = Code.ENCRYPTED
) -> tuple[result.ResultDocument, dict[str, str]]:
    engine = result.Engine(name="x", version="1", models={}, device="cpu", fingerprint=fingerprint(**FACTS))
    timing = result.Timing(queued_at=None, started_at=NOW, finished_at=NOW)
    document = failure(source(version_id=version_id), engine, code, "", timing).head
    return document, ResultHead.of(document).metadata


@pytest.mark.parametrize(
    "changed",
    [
        {"engine": "other"},
        {"version": "3.11"},
        {"models": {"detect": "d2", "read": "r1"}},
        {"models": {"detect": "r1", "read": "d1"}},
        {"models": {"detect": "d1"}},
        {"options": {"scale": 2.5, "max_pages": 5}},
        {"options": {"scale": 2.0}},
        {"options": {"scale": 2.0, "max_pages": 5, "new": None}},
        {"models": FACTS["options"], "options": FACTS["models"]},
    ],
)
def test_each_fact_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert fingerprint(**(FACTS | changed)) != fingerprint(**FACTS)


def test_the_order_of_models_and_options_does_not_change_the_fingerprint() -> None:
    backwards = {name: dict(reversed(FACTS[name].items())) for name in ("models", "options")}
    assert list(backwards["models"]) != list(FACTS["models"])
    assert fingerprint(**(FACTS | backwards)) == fingerprint(**FACTS)


def test_a_fingerprint_is_the_same_in_every_process_and_release() -> None:
    # A change of this digest makes every stored result stale: it must be wanted.
    assert fingerprint(**FACTS) == "sha256:175a0f6843f12de09faef5b0bcadc8757a58c5f587be1e2ab3c5e4d8e0e20ac2"


@pytest.mark.parametrize("version_id", [None, "v1"])
def test_the_metadata_of_a_result_tell_what_it_was_made_from(version_id: str | None) -> None:
    document, metadata = stored(version_id)
    assert ResultHead.from_metadata(metadata) == ResultHead(
        status=document.status,
        source_etag="e1",
        source_version_id=version_id,
        fingerprint=document.engine.fingerprint,
        schema_version=result.SCHEMA_VERSION,
        code="ENCRYPTED",
        page_count=document.page_count,
    )
    assert set(metadata) <= {
        "ocr-status",
        "ocr-source-etag",
        "ocr-source-version-id",
        "ocr-fingerprint",
        "ocr-schema-version",
        "ocr-page-count",
        "ocr-code",
    }
    assert all(value.isascii() for value in metadata.values())


@pytest.mark.parametrize(
    "foreign",
    [{}, {"ocr-status": None}, {"ocr-source-etag": None}, {"ocr-fingerprint": None}, {"ocr-status": "DONE"}],
)
def test_foreign_metadata_are_not_those_of_a_result(foreign: dict[str, str | None]) -> None:
    merged = stored()[1] | foreign if foreign else {"author": "somebody"}
    metadata = {name: value for name, value in merged.items() if value is not None}
    assert ResultHead.from_metadata(metadata) is None


@pytest.mark.parametrize(
    ("now", "engine", "is_of", "is_current"),
    [
        (source("e1", "v1"), fingerprint(**FACTS), True, True),
        (source("e1", "v1"), "sha256:other", True, False),
        (source("e2", "v1"), fingerprint(**FACTS), False, False),
        (source("e1", "v2"), fingerprint(**FACTS), False, False),
        (source("e1", None), fingerprint(**FACTS), False, False),
    ],
)
def test_a_result_is_current_only_for_the_same_object_and_the_same_engine(
    now: result.Source, engine: str, is_of: bool, is_current: bool
) -> None:
    head = ResultHead.from_metadata(stored("v1")[1])
    assert head is not None
    assert (head.is_of(now), head.is_current(now, engine)) == (is_of, is_current)


@pytest.mark.parametrize(("code", "is_read"), [(Code.RETRIES_EXHAUSTED, False), (Code.PAGE_UNREADABLE, True)])
def test_a_result_with_a_page_that_was_not_tried_to_the_end_is_never_current(
    code: Code, *, is_read: bool
) -> None:
    document, _ = stored("v1")
    warning = result.Warning(code=code, message="", page_number=1)
    partial = document.model_copy(
        update={"status": result.Status.PARTIAL, "error": None, "warnings": (warning,)}
    )
    head = ResultHead.of(partial)
    assert head.is_current(document.source, document.engine.fingerprint) is is_read


@pytest.mark.parametrize("code", [Code.RETRIES_EXHAUSTED, Code.INVALID_OPTIONS])
def test_a_result_of_a_source_that_was_not_read_is_never_current(code: Code) -> None:
    document, metadata = stored("v1", code)
    head = ResultHead.from_metadata(metadata)
    assert head is not None
    assert head.is_of(document.source)
    assert not head.is_current(document.source, document.engine.fingerprint)
