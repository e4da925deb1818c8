"""A real browser, for the pages on which a model runs."""

import pytest

from tests.support.browser import Browser, program
from tests.support.pages import STILL


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(program(), tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Opens a page; after the test, checks that nothing went wrong and nothing was asked for."""
    path = tmp_path / "page.html"

    def visit(html, link="#mode=draw&image=1&step=1", width=1400, height=1000):
        path.write_text(html, encoding="utf-8")
        browser.look(width, height)
        browser.open("about:blank")
        browser.errors.clear()
        browser.requests.clear()
        browser.open(f"{path.as_uri()}{link}")
        browser.evaluate(STILL)
        return browser

    yield visit
    assert browser.errors == []
    assert browser.requests[0] == path.as_uri()
    assert all(url.startswith(("blob:", "data:")) for url in browser.requests[1:])
