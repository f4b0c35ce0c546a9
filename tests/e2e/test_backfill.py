"""`bucket-ocr backfill` as a real process: it plans, and queues what has no current result."""

from pathlib import Path

from tests.e2e.stack import Stack, bucket_ocr


def test_a_backfill_plans_first_and_queues_with_yes(lone_stack: Stack, tmp_path: Path) -> None:
    stack = lone_stack
    for key in ("in/a b.pdf", "in/c.pdf", "out/d.pdf"):
        stack.put(key, b"%PDF-", silent=True)
    prefix = f"s3://{stack.silent_bucket}/in/"

    planned = bucket_ocr(stack.environment(), tmp_path, "backfill", prefix)

    assert planned.returncode == 0, planned.stderr
    assert {f"{prefix}a b.pdf", f"{prefix}c.pdf"} <= set(planned.stdout.replace("  ", "\n").split("\n"))
    assert "d.pdf" not in planned.stdout
    assert not any("in/" in message.body for message in stack.cloud.messages(stack.queue_url))

    done = bucket_ocr(stack.environment(), tmp_path, "backfill", prefix, "--yes")

    assert done.returncode == 0, done.stderr
    bodies = "".join(message.body for message in stack.cloud.messages(stack.queue_url))
    assert all(key in bodies for key in ("in/a b.pdf", "in/c.pdf"))
    assert "out/d.pdf" not in bodies
