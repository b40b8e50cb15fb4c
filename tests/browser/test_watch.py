"""The watch over the pages, on small pages of its own: it must see what is wrong."""

import pytest

from browser.conftest import Visitors, serve
from browser.shots import MAIN, settle, shoot, sideways

PAGES = {
    "calm": "st.write('nothing is wrong')",
    "slow": "import time; time.sleep(1.5); st.write('drawn late')",
    "console": "st.iframe('<script>console.error(\"of the page\")</script>')",
    "uncaught": "st.iframe('<script>undefined_name()</script>')",
    "host": "st.iframe('<img src=\"https://example.com/x.png\">')",
    "exception": "raise KeyError('shown to the visitor')",
    "traceback": "import logging; logging.getLogger('x').exception('e', exc_info=E)",
    "wide": "st.html('<div style=\"width: 3000px\">wide</div>')",
    "tall": "st.html('<div style=\"height: 3000px\">tall</div>')",
}

SCRIPT = """
import streamlit as st
E = ValueError("of the server")
try:
    raise E
except ValueError:
    pass
st.title("Watched")
pages = {pages!r}
exec(pages[st.query_params["page"]])
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    (folder / "app.py").write_text(SCRIPT.format(pages=PAGES), "utf-8")
    with serve(folder / "app.py", folder / "log.txt") as running:
        yield running


@pytest.fixture
def visitors(browser, server):
    return Visitors(browser, server)


def opened(visitors, name):
    page = visitors.open()
    page.goto(f"/?page={name}")
    settle(page)
    return page


def test_a_page_without_faults_has_none(visitors):
    page = opened(visitors, "calm")
    assert page.get_by_text("nothing is wrong").is_visible()
    assert sideways(page) == []
    assert visitors.leave() == []


def test_a_settled_page_is_wholly_drawn(visitors):
    page = opened(visitors, "slow")
    assert page.get_by_text("drawn late").is_visible()
    assert visitors.leave() == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("console", "console: of the page"),
        ("uncaught", "undefined_name is not defined"),
        ("host", "a request to another host: https://example.com/x.png"),
        ("exception", "the page shows an exception: KeyError"),
        ("exception", "the server logged a traceback"),
        ("traceback", "ValueError: of the server"),
    ],
)
def test_what_is_wrong_with_a_page_is_seen(visitors, name, fault):
    opened(visitors, name)
    assert fault in "\n".join(visitors.leave())


def test_faults_of_one_test_are_not_charged_to_the_next(visitors):
    opened(visitors, "traceback")
    assert visitors.leave()
    later = Visitors(visitors.browser, visitors.server)
    opened(later, "calm")
    assert later.leave() == []


def test_a_page_too_wide_for_its_window_is_noticed(visitors):
    assert "scrolls sideways by" in sideways(opened(visitors, "wide"))[0]
    visitors.leave()


def test_a_full_picture_is_as_tall_as_the_page(visitors, tmp_path):
    page = opened(visitors, "tall")
    shoot(page, tmp_path / "tall.png", full=True)
    heights = {file.stem: png_height(file) for file in tmp_path.glob("*.png")}
    assert heights["tall"] == 900
    assert heights["tall-full"] > 3000
    assert page.locator(MAIN).is_visible()
    visitors.leave()


def png_height(file):
    """Read the height from the header: bytes 20 to 24 of any PNG."""
    return int.from_bytes(file.read_bytes()[20:24], "big")
