"""Storage that is down for all, and leases that cannot be renewed: the consumer waits, and takes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import documents
from tests.e2e.conftest import Start
from tests.e2e.proxy import Call, FaultProxy, answer
from tests.e2e.stack import QUICK, RESULT_S, Stack, null_engine, until


@pytest.fixture
def proxied(lone_stack: Stack) -> Iterator[tuple[Stack, FaultProxy]]:
    with FaultProxy(lone_stack.cloud.endpoint_url) as proxy:
        yield lone_stack.seen_at(proxy.url), proxy


def test_storage_that_is_down_costs_no_receives_and_all_is_read_when_it_is_back(
    proxied: tuple[Stack, FaultProxy], start: Start
) -> None:
    stack, proxy = proxied
    proxy.fail("s3", answer(503, "ServiceUnavailable"), times=None)
    keys = [f"{number}.pdf" for number in range(12)]
    for key in keys:
        stack.put(key, documents.blank_pdf(100), silent=True)
        stack.request(key)
    consumer = start(stack, "consumer", (*QUICK, *null_engine(0.01, lines=1)), MAX_IN_FLIGHT=4)
    consumer.line(RESULT_S, event="host.unhealthy")
    looks = proxy.count("HeadBucket")
    # Looked at again and again, and no message is received meanwhile.
    counted = _received(stack)
    until(lambda: proxy.count("HeadBucket") > looks + 2, RESULT_S, "other looks at the bucket")
    assert _received(stack) <= counted + 4
    proxy.heal()
    for key in keys:
        assert stack.result(key, silent=True)["status"] == "SUCCESS"
    stack.wait_until_settled()
    assert consumer.stop() == 0
    assert stack.dead_letters() == set()


def _received(stack: Stack) -> int:
    return sum(message.receive_count for message in stack.cloud.messages(stack.queue_url))


def test_a_lease_that_cannot_be_renewed_is_lost_in_time_and_the_message_not_touched(
    proxied: tuple[Stack, FaultProxy], start: Start, tmp_path: Path
) -> None:
    stack, proxy = proxied
    proxy.fail("ChangeMessageVisibility", answer(503, "ServiceUnavailable"), times=None)
    gate = tmp_path / "gate"
    stack.put("long.pdf", documents.blank_pdf(100), silent=True)
    consumer = start(stack, "consumer", (*QUICK, *null_engine(gate, lines=1)), LEASE_S=6).wait_ready()
    # Without the event that S3 makes when a notification is set up.
    stack.wait_until_settled()
    deleted = proxy.count("DeleteMessage")
    message_id = stack.request("long.pdf")
    line = consumer.line(RESULT_S, event="message", message_id=message_id)
    assert (line["outcome"], line["settled"]) == ("lease_lost", "NoAction")
    assert (proxy.count("DeleteMessage"), proxy.count("PutObject")) == (deleted, 0)
    proxy.heal()
    until(lambda: any(call.status == 200 for call in _renewals(proxy)), RESULT_S, "a renewal")
    gate.touch()
    line = consumer.line(event="message", message_id=message_id, settled="Delete")
    assert (line["job_result"], line["receive_count"]) == ("stored", 2)
    assert consumer.stop() == 0


def _renewals(proxy: FaultProxy) -> list[Call]:
    return [call for call in proxy.calls if call.operation == "ChangeMessageVisibility"]
