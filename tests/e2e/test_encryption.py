"""The encryption that the settings ask for: of results, of other outputs, and of pages of long documents."""

from contextlib import closing
from pathlib import Path

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.in_process import bucket_ocr
from tests.e2e.proxy import FaultProxy
from tests.e2e.stack import QUICK, Stack, null_engine

_HEADERS = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")


def test_every_object_that_is_written_has_the_encryption_that_is_asked_for(
    lone_stack: Stack, start: Start, tmp_path: Path
) -> None:
    with closing(lone_stack.cloud.client("kms")) as kms:
        key_id = kms.create_key()["KeyMetadata"]["Arn"]
    asked = {"SSE": "aws:kms", "SSE_KMS_KEY_ID": key_id}
    with FaultProxy(lone_stack.cloud.endpoint_url) as proxy:
        stack = lone_stack.seen_at(proxy.url)
        engine = null_engine(0.01, lines=1)
        consumer = start(stack, "consumer", (*QUICK, *engine), PART_PAGES=2, OUTPUTS="markdown", **asked)
        stack.put("long.pdf", documents.blank_pdf(100, pages=5), silent=True)
        stack.request("long.pdf")
        assert stack.result("long.pdf", silent=True)["status"] == "SUCCESS"
        stack.wait_until_settled()
        assert consumer.stop() == 0
        puts = [call for call in proxy.calls if call.operation == "PutObject"]
        # Of a piece, the other output, and the result.
        assert {str(call.key).removeprefix("long.pdf.ocr")[:6] for call in puts} == {"/parts", ".md", ".json"}
        assert {tuple(call.headers.get(name) for name in _HEADERS) for call in puts} == {("aws:kms", key_id)}

        environment = stack.environment(**asked)
        proven = bucket_ocr(environment, tmp_path, "doctor", f"s3://{stack.bucket}", "--write")
        assert proven.returncode == 0, proven.stdout
        assert f"by aws:kms with {key_id}" in proven.stdout
        puts = [call for call in proxy.calls if call.operation == "PutObject" and call.place == stack.bucket]
        assert {tuple(call.headers.get(name) for name in _HEADERS) for call in puts} == {("aws:kms", key_id)}
