"""`get` of several documents, of which some are refused."""

from typing import Any

import pytest

from consumer.cli.get import Getter
from consumer.cli.page_choice import ALL_PAGES
from consumer.domain.errors import ForbiddenError, ServiceError, UnavailableError
from tests.fakes import BUCKET

REFUSED = [(BUCKET, f"refused-{number}.pdf") for number in range(20)]
OTHER = [(BUCKET, "other.pdf")]


class Store:
    """Refuses what is named so, and has nothing else. `asked`: how often."""

    def __init__(self, error: type[ServiceError] = ForbiddenError) -> None:
        self.error = error
        self.asked = 0

    async def head(self, bucket: str, key: str) -> None:
        self.asked += 1
        if key.startswith("refused"):
            raise self.error(f"HEAD s3://{bucket}/{key}: 403")


async def got(store: Any, places: list[tuple[str, str]]) -> Getter:
    getter = Getter("text", ALL_PAGES, None, into_file=False)
    await getter.run(store, places)
    return getter


@pytest.mark.parametrize("places", [[*OTHER, *REFUSED], [*REFUSED[:3], *OTHER, *REFUSED[3:]]])
async def test_get_goes_on_after_a_refusal(
    places: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    assert (await got(store, places)).has_problems
    lines = capsys.readouterr().err.splitlines()
    assert (store.asked, len(lines)) == (21, 21)
    assert len([line for line in lines if line.endswith(".pdf.ocr.json: 403")]) == 20


@pytest.mark.parametrize(("count", "asked"), [(1, 1), (20, 8)])
async def test_refusals_of_all_are_one_error(count: int, asked: int) -> None:
    store = Store()
    with pytest.raises(ForbiddenError, match="refused-0"):
        await got(store, REFUSED[:count])
    assert store.asked == asked


async def test_a_service_that_cannot_be_reached_is_asked_once() -> None:
    store = Store(UnavailableError)
    with pytest.raises(UnavailableError):
        await got(store, REFUSED)
    assert store.asked == 1
