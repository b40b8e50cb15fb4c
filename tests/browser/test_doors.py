"""A foreign name that resolves to this machine does not get the app."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser import shots
from browser.conftest import require_chromium

QUESTION = "What does the network of one layer look like?"


@pytest.fixture(scope="module")
def misled():
    """Chromium to which a foreign name is this machine, as after a rebinding."""
    require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        rules = "MAP evil.test 127.0.0.1"
        chromium = shots.launch(playwright.chromium, f"--host-resolver-rules={rules}")
        yield chromium
        chromium.close()


def test_a_foreign_name_that_resolves_here_gets_nothing(misled, app_server):
    port = urlsplit(app_server.url).port
    page = misled.new_page()
    sockets = []
    page.on("websocket", lambda socket: sockets.append(socket))
    page.goto(f"http://evil.test:{port}/graph")  # the empty shell, which is public
    page.wait_for_timeout(4000)
    assert sockets
    assert all("evil.test" in s.url for s in sockets)
    assert not page.get_by_text(QUESTION).count()
    assert not page.get_by_test_id("stSidebar").count()
    refused = page.evaluate(
        """() => new Promise(done => {
            const socket = new WebSocket(`ws://${location.host}/_stcore/stream`)
            socket.onopen = () => done("open")
            socket.onerror = () => done("refused")
        })"""
    )
    assert refused == "refused"
    page.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_names_of_this_machine_get_the_app(misled, app_server, name):
    page = misled.new_page()
    page.goto(f"http://{name}:{urlsplit(app_server.url).port}/graph")
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible(timeout=180_000)
    page.close()
