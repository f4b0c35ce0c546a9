"""Keys that need care in events, URLs and shells reach the consumer as the client wrote them."""

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.e2e import documents
from tests.e2e.stack import Consumer, Stack

GOLDEN = Path(__file__).parents[1] / "golden" / "events"
# Key -> the event in which AWS sent it; of the long one there is none.
KEYS = {
    "a b/ü+1%.pdf": "s3_encoded_key.json",
    "x&y=z;'\"<>.pdf": "s3_encoded_special.json",
    "line\nbreak.pdf": "s3_newline_key.json",
    "ä" * 448 + ".pdf": None,
}
IDS = ["space", "special", "newline", "900-bytes"]


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_upload_under_this_key_is_read(stack: Stack, consumer: Consumer, tmp_path: Path, key: str) -> None:
    path = tmp_path / "source.pdf"
    path.write_bytes(documents.pdf("HARBOUR"))
    stack.aws_cp(path, key)
    result = stack.result(key)
    assert (result["source"]["key"], documents.text(result)) == (key, "HARBOUR")
    stack.wait_until_settled()


@pytest.mark.parametrize("key", KEYS, ids=IDS)
def test_an_event_as_aws_encodes_it_names_this_key(stack: Stack, consumer: Consumer, key: str) -> None:
    golden = KEYS[key]
    event = json.loads((GOLDEN / (golden or "s3_put_2_1.json")).read_text(encoding="utf-8"))
    s3 = event["Records"][0]["s3"]
    s3["bucket"]["name"] = stack.silent_bucket
    if golden is None:
        s3["object"]["key"] = quote_plus(key)
    stack.put(key, documents.pdf("LIGHTHOUSE"), silent=True)
    stack.send(event)
    result = stack.result(key, silent=True)
    assert (result["source"]["key"], documents.text(result)) == (key, "LIGHTHOUSE")
