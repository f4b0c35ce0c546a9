"""A browser, where one is installed, and a page of five pages to look at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.viewer import browser, documents
from tests.viewer.browser import Tab


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `documents.PAGES`."""
    folder = tmp_path_factory.mktemp("view")
    source = folder / "harbour.pdf"
    documents.write_pdf(source, documents.PAGES)
    documents.write_result(folder / "harbour.pdf.ocr.json", documents.read(source), source.stat().st_size)
    return documents.view(folder, "harbour.pdf")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def only_tab() -> AsyncIterator[Tab]:
    if browser.installed() is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    async with browser.opened() as tab:
        yield tab


@pytest_asyncio.fixture(loop_scope="session")
async def tab(only_tab: Tab) -> Tab:
    """The only page of one browser, as if it were new."""
    await only_tab.reset()
    return only_tab
