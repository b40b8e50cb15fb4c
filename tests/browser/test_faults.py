"""A fault of our own, wherever it happens: one sentence, no traceback and no path."""

import shutil
from textwrap import dedent
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from browser.conftest import ROOT, require_chromium, serve
from browser.shots import settle

FAULTY = """
import sys
sys.path.insert(0, {root!r})
import streamlit as st
from pages.shared.app import jobs
from pages.shared.app.uploads import uploader

def fail(*_):
    open("/a/folder/of/the/server")

def beside():
    if st.button("Go", key="beside"):
        fail()

st.markdown("Still here")
jobs.menu()
jobs.endings()
where = st.query_params["where"]
if where == "fragment":
    st.fragment(beside)()
elif where == "upload":
    uploader("A file", ["txt"], key="file", help=None, keep=fail)
elif where == "job":
    if st.button("Go"):
        jobs.start("read", "A job", fail, key=1)
elif st.button("Go"):
    fail()
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A page on the app's own configuration in which everything fails."""
    require_chromium()
    folder = tmp_path_factory.mktemp("faulty")
    shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
    (folder / "faulty.py").write_text(dedent(FAULTY).format(root=str(ROOT)))
    with serve(folder / "faulty.py", folder / "log.txt") as server:
        yield server


@pytest.mark.parametrize("where", ["page", "fragment", "upload", "job"])
def test_a_fault_is_one_sentence(browser, faulty, where):
    page = browser.new_context(base_url=faulty.url).new_page()
    page.goto(f"/?{urlencode({'where': where})}")
    settle(page, timeout_s=60)
    if where == "upload":
        given = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}
        page.locator('input[type="file"]').set_input_files(given)
    else:
        page.get_by_role("button", name="Go").click()
    told = page.get_by_test_id("stAlert").or_(page.get_by_test_id("stException"))
    expect(told).to_have_count(1, timeout=20_000)
    shown = page.locator("body").inner_text()
    for secret in ("/a/folder", "Traceback", "faulty.py", str(ROOT), "Errno"):
        assert secret not in shown
    assert "Still here" in shown
    assert "ChatGPT" not in shown
    page.context.close()
    assert "/a/folder/of/the/server" in faulty.log()
