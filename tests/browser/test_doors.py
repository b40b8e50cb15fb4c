"""A foreign name that resolves to this machine does not get the app."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from browser import shots
from browser.shots import settle

SECRET = b"My secret diary. " * 500
QUESTION = "What does the network of one layer look like?"


@pytest.fixture(scope="module")
def misled(browser):
    """Chromium to which a foreign name is this machine, as after a rebinding."""
    rules = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    chromium = shots.launch(browser.browser_type, rules)
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


def test_an_upload_outlives_a_reload_and_opens_in_no_other_browser(new_page):
    """It is given, kept apart from Streamlit, read again by its browser, let go."""
    mine = new_page()
    mine.goto("/prune")
    settle(mine, timeout_s=180)
    mine.get_by_role("button", name="Texts").click()
    given = {"name": "diary.txt", "mimeType": "text/plain", "buffer": SECRET}
    mine.locator('input[type="file"]').first.set_input_files(given)
    expect(mine.get_by_text("Using diary.txt")).to_be_visible()
    settle(mine)
    assert uploaded_bytes(mine) == 0
    link = mine.url
    assert "upload%3A" in link or "upload:" in link
    mine.reload()
    settle(mine)
    mine.get_by_role("button", name="Texts").click()
    expect(mine.get_by_text("Using your upload")).to_be_visible()
    expect(mine.get_by_text("another visitor")).to_have_count(0)
    other = new_page()
    other.goto(link)
    settle(other)
    expect(other.get_by_text("this upload is another visitor's")).to_be_visible()
    expect(other).not_to_have_url(re.compile("upload"))
    mine.get_by_role("button", name="Use the embedded text").click()
    expect(mine.get_by_text("Using your upload")).to_have_count(0)
    expect(mine).not_to_have_url(re.compile("upload"))


def uploaded_bytes(page) -> int:
    """Ask Streamlit how much it holds of what visitors uploaded."""
    answer = page.request.get("/_stcore/metrics")
    assert answer.ok
    found = re.findall(r'UploadedFileManager".*\} (\d+)', answer.text())
    return sum(map(int, found))
