"""Recipes of docs/cookbook.md, as they stand there, with real results."""

import asyncio
import copy
import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import duckdb
import numpy as np
import numpy.typing as npt
import pytest
import sqlglot
from PIL import Image

from tests.docs.pages import ROOT, page
from tests.e2e import documents
from tests.e2e.inventories import put_inventory
from tests.e2e.stack import COMMAND_S, RESULT_S, Consumer, Document, Stack, until
from tests.viewer import browser

#: Names of things in the recipes.
BUCKETS: Final = ("my-inbox", "my-results", "my-lists")

BIN: Final = Path(sys.executable).parent

#: A key that events encode.
LETTER: Final = "in box/letter ü+1%.pdf"

Pixels = npt.NDArray[np.int16]


class Cook:
    """The recipes with the buckets of the test, and a folder to run them in."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        for name, code in page("docs/cookbook.md").blocks.items():
            own = re.sub("|".join(BUCKETS), lambda match: self.bucket(match[0]), code)
            (folder / name).write_text(own, encoding="utf-8")
        # The client in its version 1 asks AWS for queues, whatever AWS_ENDPOINT_URL says.
        client = folder / "bin" / "aws"
        client.parent.mkdir()
        client.write_text(f'#!/bin/sh\nexec {BIN}/aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
        client.chmod(0o755)

    def bucket(self, name: str) -> str:
        """The test's own bucket in the place of one of the recipes."""
        return self.stack.bucket if name == "my-inbox" else f"{self.stack.bucket}-{name}"

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def run(self, *command: str, stdin: str = "", **variables: str) -> str:
        """Run a command to its end; returns its standard output."""
        path = f"{self.folder / 'bin'}:{BIN}:/usr/bin:/bin"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.stack.environment() | {"PATH": path, "MPLCONFIGDIR": str(self.folder)} | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, name: str) -> str:
        """Run a block of commands; the first that fails ends it."""
        return self.run("bash", "-eu", name)


@pytest.fixture(scope="module")
def inbox(stack: Stack, consumer: Consumer, samples: Path) -> Stack:
    """A bucket that announces images to the consumer of all, with results: an image, a PDF, a failure."""
    mine = copy.copy(stack)
    mine.bucket = f"{stack.bucket}-cookbook"
    mine.s3.create_bucket(Bucket=mine.bucket)
    attributes = mine.sqs.get_queue_attributes(QueueUrl=mine.queue_url, AttributeNames=["QueueArn"])
    rule: Any = {
        "Id": "images",
        "QueueArn": attributes["Attributes"]["QueueArn"],
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".png"}]}},
    }
    mine.s3.put_bucket_notification_configuration(
        Bucket=mine.bucket, NotificationConfiguration={"QueueConfigurations": [rule]}
    )
    mine.put("scan.png", (samples / "scan.png").read_bytes())
    for key, body in ((LETTER, (samples / "letter.pdf").read_bytes()), ("bad.pdf", b"no document")):
        mine.put(key, body)
        mine.send({"bucket-ocr": 1, "bucket": mine.bucket, "key": key})
    for key in ("scan.png", LETTER, "bad.pdf"):
        mine.result(key)
    return mine


@pytest.fixture
def cook(inbox: Stack, tmp_path: Path) -> Cook:
    return Cook(inbox, tmp_path)


@pytest.fixture(scope="module")
def scan(inbox: Stack) -> Document:
    return inbox.result("scan.png")


def test_a_folder_becomes_text_files(cook: Cook, samples: Path) -> None:
    (cook.folder / "scans" / "a").mkdir(parents=True)
    (cook.folder / "scans" / "a" / "scan.png").write_bytes((samples / "scan.png").read_bytes())
    try:
        cook.shell("folder.sh")
        text = (cook.folder / "texts/a/scan.png.ocr.txt").read_text(encoding="utf-8")
        assert "Delivery note 58213" in text.splitlines()
    finally:
        # Other recipes look at the whole bucket.
        for key in ("scans/a/scan.png", "scans/a/scan.png.ocr.json"):
            cook.stack.s3.delete_object(Bucket=cook.stack.bucket, Key=key)


def event(bucket: str, *keys: str) -> str:
    """An S3 notification, in AWS's own form."""
    golden = json.loads((ROOT / "tests/golden/events/s3_put_2_6.json").read_text(encoding="utf-8"))
    record = golden["Records"][0]
    records = []
    for key in keys:
        s3 = record["s3"] | {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}}
        records.append(record | {"s3": s3})
    return json.dumps({"Records": records})


def test_a_lambda_copies_the_text_of_each_result(cook: Cook, scan: Document) -> None:
    texts = f"{cook.stack.bucket}-texts"
    cook.stack.s3.create_bucket(Bucket=texts)
    program = "import json, sys, on_result; on_result.handler(json.load(sys.stdin), None)"
    keys = [f"{key}.ocr.json" for key in (LETTER, "bad.pdf")]
    by_eventbridge = {
        "detail": {"bucket": {"name": cook.stack.bucket}, "object": {"key": "scan.png.ocr.json"}}
    }

    told = [
        cook.run("python3", "-c", program, stdin=body, TEXT_BUCKET=texts)
        for body in (event(cook.stack.bucket, *keys), json.dumps(by_eventbridge))
    ]

    assert f"{cook.stack.bucket}/bad.pdf: UNSUPPORTED_TYPE: " in told[0]
    listed = cook.stack.s3.list_objects_v2(Bucket=texts)["Contents"]
    assert {item["Key"] for item in listed} == {f"{LETTER}.txt", "scan.png.txt"}
    with cook.stack.s3.get_object(Bucket=texts, Key="scan.png.txt")["Body"] as body:
        assert body.read().decode().split("\n") == [line["text"] for line in scan["detections"]]


def test_rules_are_added_to_those_that_a_bucket_has(cook: Cook) -> None:
    """With a topic in the place of the function, of which there is none here."""
    bucket = f"{cook.stack.bucket}-rules"
    cook.stack.s3.create_bucket(Bucket=bucket)
    attributes = cook.stack.sqs.get_queue_attributes(
        QueueUrl=cook.stack.queue_url, AttributeNames=["QueueArn"]
    )
    (rule,) = json.loads(cook.text("lambda.json"))["LambdaFunctionConfigurations"]
    del rule["LambdaFunctionArn"]
    rule["QueueArn"] = attributes["Attributes"]["QueueArn"]
    other = rule | {"Id": "others", "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".pdf"}]}}}
    for name, added in (("others", other), ("results", rule), ("again", rule)):
        (cook.folder / f"{name}.json").write_text(json.dumps({"QueueConfigurations": [added]}))
        cook.run("python3", "notify.py", bucket, f"{name}.json")
    cook.run("python3", "notify.py", bucket, "eventbridge.json")

    rules = cook.stack.s3.get_bucket_notification_configuration(Bucket=bucket)

    assert [each["Id"] for each in rules["QueueConfigurations"]] == ["others", "results"]
    (suffix,) = rules["QueueConfigurations"][1]["Filter"]["Key"]["FilterRules"]
    assert suffix["Value"] == ".ocr.json"
    assert rules["EventBridgeConfiguration"] == {}


def test_an_eventbridge_rule_tells_a_queue_of_results_alone(cook: Cook) -> None:
    """With keys that LocalStack does not encode in these events; S3 encodes none."""
    cook.shell("eventbridge.sh")
    stack, keys = cook.stack, ("a.txt", "a.json", "a.ocr.json.txt", "a.txt.ocr.json")
    queue_url = stack.sqs.get_queue_url(QueueName="results")["QueueUrl"]
    for key in keys:
        stack.put(key, b"{}")
    try:
        messages = until(lambda: stack.cloud.messages(queue_url), RESULT_S, "an event of the result")
        assert [json.loads(each.body)["detail"]["object"]["key"] for each in messages] == ["a.txt.ocr.json"]
    finally:
        for key in keys:
            stack.s3.delete_object(Bucket=stack.bucket, Key=key)


@pytest.fixture(scope="module")
def athena(inbox: Stack, tmp_path_factory: pytest.TempPathFactory) -> Cook:
    """The recipe of Athena, with the results that it copies in the folder `results`."""
    cook = Cook(inbox, tmp_path_factory.mktemp("athena"))
    results, folder = cook.bucket("my-results"), cook.folder / "results"
    inbox.s3.create_bucket(Bucket=results)
    cook.shell("athena.sh")
    folder.mkdir()
    for item in inbox.s3.list_objects_v2(Bucket=results)["Contents"]:
        inbox.s3.download_file(results, item["Key"], str(folder / quote_plus(item["Key"])))
    return cook


def asked(athena: Cook, name: str) -> list[tuple[Any, ...]]:
    """What a query finds, by DuckDB: sqlglot translates it and the table."""
    table = sqlglot.parse_one(athena.text("table.sql"), read="athena")
    columns = {each.name: each.args["kind"].sql("duckdb") for each in table.this.expressions}
    (query,) = sqlglot.transpile(athena.text(name), read="athena", write="duckdb")
    files = f"'{athena.folder}/results/*.json', format='newline_delimited', columns={json.dumps(columns)}"
    with duckdb.connect() as database:
        database.execute(f"CREATE TABLE ocr_results AS SELECT * FROM read_json({files})")
        return database.execute(query).fetchall()


def test_a_result_is_one_line_as_athena_needs_it(athena: Cook) -> None:
    for path in (athena.folder / "results").iterdir():
        assert len(path.read_text(encoding="utf-8").splitlines()) == 1


def test_athena_finds_the_documents_that_have_a_text(athena: Cook, scan: Document) -> None:
    (line,) = [each["text"] for each in scan["detections"] if "58213" in each["text"]]
    assert asked(athena, "find.sql") == [("scan.png", [1], [line])]


def test_athena_counts_what_failed(athena: Cook) -> None:
    totals = {row[:2]: row[2:4] for row in asked(athena, "totals.sql")}
    assert totals["FAILURE", "UNSUPPORTED_TYPE"] == (1, 0)
    assert totals["SUCCESS", None] >= (2, 2)


def test_every_column_of_athenas_table_is_a_field_of_the_schema(athena: Cook) -> None:
    schema = json.loads((ROOT / "tests/golden/result.schema.json").read_text(encoding="utf-8"))
    table = sqlglot.parse_one(athena.text("table.sql"), read="athena")
    for column in table.this.expressions:
        assert unknown_fields(column.args["kind"], schema["properties"][column.name], schema) == []


def unknown_fields(kind: Any, field: Any, schema: Any) -> list[str]:
    """Names in a type of SQL that the schema of a field has not."""
    options = [field, *field.get("anyOf", ()), *field.get("allOf", ())]
    options += [schema["$defs"][each["$ref"].rpartition("/")[2]] for each in options if "$ref" in each]
    if kind.this == sqlglot.exp.DataType.Type.ARRAY:
        items = [
            each.get("items") or each["prefixItems"][0] for each in options if each.get("type") == "array"
        ]
        return [name for each in items for name in unknown_fields(kind.expressions[0], each, schema)]
    if kind.this != sqlglot.exp.DataType.Type.STRUCT:
        return []
    properties = {name: each for option in options for name, each in option.get("properties", {}).items()}
    unknown = []
    for member in kind.expressions:
        if member.name not in properties:
            unknown.append(member.name)
        else:
            unknown += unknown_fields(member.args["kind"], properties[member.name], schema)
    return unknown


def test_a_search_index_finds_words_with_their_page_and_line(cook: Cook, scan: Document) -> None:
    lines = scan["detections"]
    (number,) = [at for at, line in enumerate(lines, 1) if line["text"] == "Delivery note 58213"]
    other = "other.png.ocr.json"
    two_pages = scan | {"detections": [*lines, lines[number - 1] | {"page_number": 2}]}
    note = "\t[Delivery] [note] 58213"
    first, second = f"#p=1&l={number}{note}", f"#p=2&l=1{note}"
    try:
        cook.stack.put(other, json.dumps(two_pages).encode())
        found = cook.shell("search.sh").splitlines()
        assert sorted(found) == [f"other.png{first}", f"other.png{second}", f"scan.png{first}"]
        # A result that has changed is not found twice, and no longer by what it said.
        cook.stack.put(other, json.dumps(scan).replace("58213", "0").encode())
        again = cook.shell("search.sh").splitlines()
        assert sorted(again) == [f"other.png{first}".replace("58213", "0"), f"scan.png{first}"]
    finally:
        cook.stack.s3.delete_object(Bucket=cook.stack.bucket, Key=other)


def test_a_search_takes_any_text_and_forgets_what_is_deleted(cook: Cook, scan: Document) -> None:
    other, line = "other.png.ocr.json", scan["detections"][0] | {"text": 'No. 58213-A "urgent"'}
    cook.stack.put(other, json.dumps(scan | {"detections": [line]}).encode())
    try:
        cook.run("python3", "index.py", cook.stack.bucket)
        for words in ("58213-A", 'urgent" 58213', "no."):
            assert "other.png#p=1&l=1" in cook.run("python3", "search.py", words)
    finally:
        cook.stack.s3.delete_object(Bucket=cook.stack.bucket, Key=other)
    cook.run("python3", "index.py", cook.stack.bucket)
    assert "other.png" not in cook.run("python3", "search.py", "58213")


def edges(result: Document, page_number: int = 1) -> Iterator[tuple[float, float]]:
    """The middle of each edge of each line."""
    for line in result["detections"]:
        if line["page_number"] == page_number:
            for (x1, y1), (x2, y2) in pairwise([*line["box"], line["box"][0]]):
                yield (x1 + x2) / 2, (y1 + y2) / 2


def coloured(pixels: Pixels, x: float, y: float, colour: str) -> bool:
    """Whether there is something of that colour within two pixels; the page is grey."""
    column, row = int(x), int(y)
    near = pixels[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].reshape(-1, 3)
    own = "rgb".index(colour)
    others = near[:, [each for each in range(3) if each != own]].max(axis=1)
    return bool((near[:, own] - others > 40).any())


def test_matplotlib_draws_boxes_where_the_lines_are(cook: Cook, scan: Document, samples: Path) -> None:
    (cook.folder / "scan.png").write_bytes((samples / "scan.png").read_bytes())
    (cook.folder / "scan.png.ocr.json").write_text(json.dumps(scan))
    cook.shell("overlay.sh")
    letter = cook.stack.result(LETTER)
    (cook.folder / "letter.json").write_text(json.dumps(letter))
    cook.run("python3", "overlay.py", str(samples / "letter.pdf"), "letter.json", "1", "letter.png")

    for result, name in ((scan, "overlay.png"), (letter, "letter.png")):
        size = result["pages"][0]["width_px"], result["pages"][0]["height_px"]
        with Image.open(cook.folder / name) as picture:
            assert picture.size == size
            pixels = np.asarray(picture.convert("RGB")).astype(np.int16)
        # Certain lines are green.
        assert [at for at in edges(result) if not coloured(pixels, *at, "g")] == []


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(cook: Cook) -> Iterator[str]:
    """Where the folder of the recipes is served."""
    handler = functools.partial(_Quiet, directory=str(cook.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(browser.installed() is None, reason="Chromium is not installed (Debian: chromium)")
def test_a_browser_draws_boxes_where_the_lines_are_at_any_size(
    cook: Cook, scan: Document, samples: Path, address: str
) -> None:
    (cook.folder / "scan.png").write_bytes((samples / "scan.png").read_bytes())
    (cook.folder / "scan.png.ocr.json").write_text(json.dumps(scan))
    for scale, pixels in asyncio.run(_pictures(f"{address}/overlay.html")):
        shown = [(8 + x * scale, 8 + y * scale) for x, y in edges(scan)]
        assert [at for at in shown if not coloured(pixels, *at, "r")] == []


def test_a_page_of_another_origin_may_fetch_from_a_bucket(cook: Cook) -> None:
    cook.shell("cors.sh")
    (rule,) = cook.stack.s3.get_bucket_cors(Bucket=cook.stack.bucket)["CORSRules"]
    assert rule["AllowedOrigins"] == ["https://app.example.com"]


async def _pictures(url: str) -> list[tuple[float, Pixels]]:
    """What the page shows at two sizes of the window, and pixels of the window to one of the page."""
    pictures = []
    async with browser.opened() as tab:
        await tab.size(1600, 1600)
        await tab.send("Page.navigate", url=url)
        await tab.until(f"location.href === {url!r} && document.readyState === 'complete' && image.complete")
        for width in (1600, 900):
            await tab.size(width, 1600)
            await tab.until(
                "canvas.width === image.clientWidth && image.clientWidth > 300".replace("canvas", "boxes")
            )
            await tab.frames()
            scale = await tab.value("image.clientWidth / image.naturalWidth")
            pictures.append((scale, np.asarray(await tab.picture()).astype(np.int16)))
    return pictures


def test_curl_uploads_with_a_presigned_url_and_fetches_the_result(cook: Cook, samples: Path) -> None:
    """LocalStack looks at no signature, so only the form of the URLs is proved."""
    (cook.folder / "scan.png").write_bytes((samples / "scan.png").read_bytes())
    cook.shell("presign.sh")
    result = json.loads(cook.text("result.json"))
    assert result["source"]["key"] == "letters/a b.png"
    assert "Delivery note 58213" in {line["text"] for line in result["detections"]}


def queued(cook: Cook, name: str) -> set[str]:
    """Keys that the commands queue, as they tell."""
    return set(re.findall(rf"s3://{cook.stack.bucket}/(.*)$", cook.shell(name), re.MULTILINE))


def test_a_listing_and_an_inventory_find_what_has_no_result(cook: Cook) -> None:
    stack, lists = cook.stack, cook.bucket("my-lists")
    stack.put("old/1 1.pdf", documents.blank_pdf(1))
    assert queued(cook, "backfill.sh") == {"old/1 1.pdf"}
    stack.result("old/1 1.pdf")

    stack.s3.create_bucket(Bucket=lists)
    cook.shell("inventory.sh")
    wanted = stack.s3.get_bucket_inventory_configuration(Bucket=stack.bucket, Id="bucket-ocr")
    assert wanted["InventoryConfiguration"]["Destination"]["S3BucketDestination"]["Format"] == "CSV"

    stack.put("old/2.pdf", documents.blank_pdf(1))
    folder = f"{stack.bucket}/bucket-ocr/2026-11-29T01-00Z"
    put_inventory(stack.s3, stack.bucket, lists, folder, sorted(stack.keys()))
    assert queued(cook, "manifest.sh") == {"old/2.pdf"}
    stack.result("old/2.pdf")
