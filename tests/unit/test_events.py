"""Message bodies are understood, and no record in one is lost or raises."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from consumer.domain import keys
from consumer.domain.events import Job, PartRange, parse, part_request

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text())


def s3_record(key: str = "a.pdf", event: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {"eventName": event, "s3": {"bucket": {"name": "inbox"}, "object": {"key": key}}}


def s3_event(*records: Any) -> str:
    return json.dumps({"Records": records})


def request(**fields: Any) -> str:
    return json.dumps({"bucket-ocr": 1, "bucket": "inbox", "key": "a.pdf"} | fields)


def eventbridge(key: Any) -> str:
    detail = {"bucket": {"name": "inbox"}, "object": {"key": key}}
    return json.dumps({"detail-type": "Object Created", "source": "aws.s3", "detail": detail})


def in_sns(body: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": body})


def test_every_golden_body_has_an_expectation() -> None:
    assert {path.name for path in GOLDEN.glob("*.json")} - {"expected.json"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_event_is_understood(name: str) -> None:
    parsed = parse((GOLDEN / name).read_text())
    assert list(parsed.jobs) == [Job(job["bucket"], job["key"]) for job in EXPECTED[name]["jobs"]]
    assert len(parsed.ignored) == EXPECTED[name]["ignored"]
    assert not parsed.malformed


@pytest.mark.parametrize(
    ("body", "location"),
    [
        ("", "accepted forms"),
        ("not json", "accepted forms"),
        ("[1, 2]", "accepted forms"),
        ("17", "accepted forms"),
        ("1" * 5000, "accepted forms"),
        ("null", "accepted forms"),
        ("{}", "accepted forms"),
        ('{"Records": "none"}', "accepted forms"),
        ('{"detail-type": "Object Created", "source": "aws.ec2"}', "accepted forms"),
        (in_sns("not json"), "accepted forms"),
        (in_sns(in_sns(s3_event(s3_record()))), "accepted forms"),
        (s3_event(None), "valid dictionary"),
        (s3_event({"eventName": "ObjectCreated:Put"}), "s3.bucket.name:"),
        (s3_event({"s3": s3_record()["s3"]}), "eventName:"),
        (s3_event(s3_record() | {"s3": {"bucket": {"name": "inbox"}}}), "s3.object.key:"),
        (s3_event(s3_record() | {"s3": {"bucket": {"name": 5}, "object": {"key": "a"}}}), "s3.bucket.name:"),
        (s3_event(s3_record("")), "s3.object.key:"),
        (s3_event(s3_record("%FF.pdf")), "%FF.pdf"),
        (s3_event(s3_record("half-%C3.pdf")), "half-%C3.pdf"),
        (s3_event(s3_record("x" * 1012 + ".pdf")), "s3://inbox/xxx"),
        (eventbridge(None), "detail.object.key:"),
        (eventbridge("\ud800.pdf"), "detail.object.key:"),
        (eventbridge("x" * 1012 + ".pdf"), "s3://inbox/xxx"),
        (json.dumps({"detail-type": "Object Created", "source": "aws.s3"}), "detail.bucket.name:"),
        (request(**{"bucket-ocr": 2}), "bucket-ocr:"),
        (request(bucket=""), "bucket:"),
        (request(key=None), "key:"),
        (request(key="x" * 1012 + ".pdf"), "s3://inbox/xxx"),
        (request(force="perhaps"), "force:"),
        (request(pages=[0, 5]), "pages.0:"),
        (request(pages=[1]), "pages.1:"),
        (request(pages="1-5"), "pages:"),
        (request(pages=[5, 1]), "pages:"),
        (request(pages=[5, 1], etag="e", page_count=9), "pages:"),
        (request(pages=[1, 10], etag="e", page_count=9), "pages:"),
        (request(pages=[1, 5], etag="e", page_count=0), "page_count:"),
        (request(pages=[1, 5], etag="", page_count=9), "etag:"),
        (request(pages=[1, 5], etag="e", page_count=9, version_id=5), "version_id:"),
    ],
)
def test_a_body_in_no_accepted_form_is_malformed_and_the_field_is_named(body: str, location: str) -> None:
    parsed = parse(body)
    assert (parsed.jobs, parsed.ignored) == ((), ())
    (problem,) = parsed.malformed
    assert location in problem
    assert "\n" not in problem


def test_an_event_of_no_records_is_malformed() -> None:
    assert parse(s3_event()).malformed


def test_a_problem_is_one_line_for_any_key() -> None:
    (problem,) = parse(request(key="a\nb" * 500)).malformed
    assert "\n" not in problem


def test_a_bad_record_does_not_hide_a_good_one() -> None:
    parsed = parse(s3_event(None, s3_record("good.pdf"), {}, s3_record("%FF"), s3_record("also+good.pdf")))
    assert parsed.jobs == (Job("inbox", "good.pdf"), Job("inbox", "also good.pdf"))
    assert len(parsed.malformed) == 3


def test_two_records_of_one_key_are_one_job() -> None:
    twice = (s3_record("a+b.pdf"), s3_record("other.pdf", "s3:ObjectCreated:Put"), s3_record("a%20b.pdf"))
    assert parse(s3_event(*twice)).jobs == (Job("inbox", "a b.pdf"), Job("inbox", "other.pdf"))


@pytest.mark.parametrize(
    ("body", "job"),
    [
        (request(version_id=None, force=False), Job("inbox", "a.pdf")),
        (request(version_id="v1", force=True), Job("inbox", "a.pdf", force=True)),
        (
            request(etag="e", pages=[65, 128], page_count=5000),
            Job("inbox", "a.pdf", part=PartRange(65, 128, 5000, "e")),
        ),
        (request(pages=None, a_field_of_1_1={"x": [1]}), Job("inbox", "a.pdf")),
        (request(key="1+1%20.pdf"), Job("inbox", "1+1%20.pdf")),
        (in_sns(request(key="b.pdf")), Job("inbox", "b.pdf")),
        (in_sns(eventbridge("1+1%20.pdf")), Job("inbox", "1+1%20.pdf")),
    ],
)
def test_a_request_is_a_job_for_its_object(body: str, job: Job) -> None:
    parsed = parse(body)
    assert (parsed.jobs, parsed.ignored, parsed.malformed) == ((job,), (), ())


@pytest.mark.parametrize("fields", [{}, {"etag": "e"}, {"page_count": 5000}])
def test_a_range_of_pages_of_no_certain_source_is_a_job_that_cannot_be_done(fields: Any) -> None:
    (job,) = parse(request(pages=[1, 64], **fields)).jobs
    assert job.part is None
    assert "without `pages`" in job.problem


def test_a_range_of_more_pages_than_any_document_has_is_malformed() -> None:
    assert parse(request(pages=[1, 64], etag="e", page_count=10**6 + 1)).malformed


@given(
    st.text(min_size=1),
    st.text(min_size=1),
    st.none() | st.text(),
    st.lists(st.integers(1, 10**6), min_size=3, max_size=3).map(sorted),
)
@settings(deadline=None)
def test_a_request_for_a_part_comes_back_as_it_was(
    key: str, etag: str, version_id: str | None, pages: list[int]
) -> None:
    assume(not (keys.is_own_output(key) or key.endswith("/") or keys.is_too_long(key)))
    first, last, page_count = pages
    part = PartRange(first, last, page_count, etag, version_id)
    parsed = parse(part_request("inbox", key, part))
    assert (parsed.jobs, parsed.ignored, parsed.malformed) == ((Job("inbox", key, part=part),), (), ())


@pytest.mark.parametrize("key", ["a.pdf.ocr.json", "A.PDF.ocr/page-0001.png", "folder/", "x" * 1020 + "/"])
def test_own_outputs_and_folders_ask_for_nothing(key: str) -> None:
    for body in (s3_event(s3_record(key)), eventbridge(key), request(key=key)):
        parsed = parse(body)
        assert (parsed.jobs, len(parsed.ignored), parsed.malformed) == ((), 1, ())


@given(st.text(min_size=1))
@settings(deadline=None)
def test_any_key_comes_back_from_the_form_encoding_of_s3(key: str) -> None:
    assume(not (keys.is_own_output(key) or key.endswith("/") or keys.is_too_long(key)))
    parsed = parse(s3_event(s3_record(quote_plus(key, safe="/"))))
    assert (parsed.jobs, parsed.ignored, parsed.malformed) == ((Job("inbox", key),), (), ())


WORDS = st.sampled_from(
    [
        "Records",
        "eventName",
        "s3",
        "bucket",
        "name",
        "object",
        "key",
        "detail-type",
        "source",
        "detail",
        "bucket-ocr",
        "pages",
        "force",
        "TopicArn",
        "Message",
        "Event",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.sampled_from(["ObjectCreated:Put", "Object Created", "aws.s3", "s3:TestEvent", s3_event(s3_record())]),
)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(WORDS | st.text(), inner))
NEAR_MISSES = st.one_of(
    st.builds(lambda records: {"Records": records}, st.lists(JSON, min_size=1)),
    st.builds(lambda s3: {"Records": [s3_record() | {"s3": s3}]}, st.dictionaries(WORDS, JSON)),
    st.builds(lambda detail: json.loads(eventbridge("")) | {"detail": detail}, JSON),
    st.builds(lambda body: {"bucket-ocr": 1} | body, st.dictionaries(WORDS, JSON)),
    st.builds(lambda body: {"TopicArn": "", "Message": body}, st.text() | JSON.map(json.dumps)),
)


@given(st.text() | JSON.map(json.dumps))
@settings(deadline=None)
def test_no_text_and_no_json_makes_parse_raise(body: str) -> None:
    parse(body)


@given(NEAR_MISSES)
@settings(deadline=None)
def test_every_record_is_a_job_or_ignored_or_malformed(document: Any) -> None:
    parsed = parse(json.dumps(document))
    assert parsed.jobs or parsed.ignored or parsed.malformed


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"Records":[', '{"TopicArn":"","Message":['])
def test_json_of_any_depth_is_malformed(opening: str) -> None:
    assert parse(opening * 20_000).malformed
