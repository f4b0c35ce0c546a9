"""Other outputs, with the real consumer: they come with the result, are added later, and survive kills."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

from local_cloud import LocalCloud

from consumer.domain.outputs import Listing, OutputRecord
from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import FaultProxy, hold
from tests.e2e.stack import QUICK, RESULT_S, Stack, null_engine

LEASE_S = 5
PROGRAM = (*QUICK, *null_engine(0.05, lines=2))


def lacking(stack: Stack, key: str) -> list[str]:
    """Outputs that are not there as the result records them."""
    head = stack.object(f"{key}.ocr.json", silent=True)
    assert head is not None
    found = stack.s3.list_objects_v2(Bucket=stack.silent_bucket, Prefix=key)["Contents"]
    listing = Listing.of(key, ((item["Key"], item["ETag"].strip('"')) for item in found))
    return list(OutputRecord.parse(head["Metadata"]["ocr-outputs"]).lacking((), listing))


def body(stack: Stack, key: str) -> bytes:
    return stack.s3.get_object(Bucket=stack.silent_bucket, Key=key)["Body"].read()


def test_outputs_come_with_the_result_and_others_are_added_without_reading_again(
    lone_stack: Stack, start: Start
) -> None:
    key = "a b/ü+1%.pdf"
    first = start(lone_stack, "first", PROGRAM, OUTPUTS="hocr")
    lone_stack.put(key, documents.blank_pdf(100, pages=2), silent=True)
    lone_stack.request(key)
    first.line(event="message", key=key, job_result="stored")
    assert first.stop() == 0
    read = lone_stack.result(key, silent=True)
    assert read["outputs"] == ["hocr"]
    assert "200 x 100" in "".join(ET.fromstring(body(lone_stack, f"{key}.ocr.hocr")).itertext())

    second = start(lone_stack, "second", PROGRAM, OUTPUTS="alto, markdown, page, textract, csv, pdf, overlay")
    lone_stack.request(key)
    line = second.line(event="message", key=key, job_result="stored")
    assert "outputs_s" in line
    assert "read_s" not in line
    assert second.stop() == 0

    added = lone_stack.result(key, silent=True)
    assert added["outputs"] == ["alto", "csv", "hocr", "markdown", "overlay", "page", "pdf", "textract"]
    assert (added["pages"], added["detections"]) == (read["pages"], read["detections"])
    assert lacking(lone_stack, key) == []
    blocks = json.loads(body(lone_stack, f"{key}.ocr.textract.json"))["Blocks"]
    texts = [line["text"] for line in read["detections"]]
    assert [block["Text"] for block in blocks if block["BlockType"] == "LINE"] == texts
    for name in (".ocr.alto.xml", ".ocr/page-0001.page.xml", ".ocr/page-0002.page.xml"):
        ET.fromstring(body(lone_stack, key + name))
    head = lone_stack.object(f"{key}.ocr.alto.xml", silent=True)
    assert head is not None
    assert head["Metadata"]["ocr-source-etag"] == read["source"]["etag"]
    assert head["ContentType"] == "application/xml"


def test_a_consumer_killed_between_outputs_and_result_leaves_none_beside_another_result(
    cloud: LocalCloud, lone_stack: Stack, start: Start, tmp_path: Path
) -> None:
    """A, B, A: the result of A is current again, and the outputs were of B."""
    key, former, other = "killed.pdf", documents.blank_pdf(100), documents.blank_pdf(150)
    settings = {"OUTPUTS": "markdown,textract", "LEASE_S": LEASE_S, "MAX_IN_FLIGHT": 1}
    with FaultProxy(cloud.endpoint_url) as proxy:
        seen = lone_stack.seen_at(proxy.url)
        consumer = start(seen, "killed", PROGRAM, **settings)
        lone_stack.put(key, former, silent=True)
        lone_stack.request(key)
        consumer.line(event="message", key=key, job_result="stored")
        held = hold(carried_out=False)
        proxy.fail("PutObject", held, key=f"{key}.ocr.json")
        lone_stack.put(key, other, silent=True)
        lone_stack.request(key)
        assert held.reached.wait(RESULT_S)
        consumer.process.kill()
        consumer.process.wait()
        assert b"300 x 100" in body(lone_stack, f"{key}.ocr.md")
        assert sorted(lacking(lone_stack, key)) == ["markdown", "textract"]
        lone_stack.put(key, former, silent=True)

        last = start(seen, "last", PROGRAM, **settings)
        last.line(event="message", key=key, job_result="stored", outcome="done")
        lone_stack.wait_until_settled()

    assert lacking(lone_stack, key) == []
    assert b"200 x 100" in body(lone_stack, f"{key}.ocr.md")
