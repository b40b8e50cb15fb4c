"""The app started from another folder than its own."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import streamlit as st
from visitor import open_page

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["app.py", "pages/lesson.py"])
def test_a_page_opens_whatever_the_working_folder(tmp_path, monkeypatch, page):
    st.get_option("server.address")  # read here and kept: later tests are not shared
    monkeypatch.chdir(tmp_path)
    at = open_page(page)
    assert not at.exception
    assert at.header


@pytest.mark.slow  # a server of its own
def test_a_server_started_elsewhere_has_the_apps_own_settings(tmp_path):
    """With Streamlit's own it would listen to everybody and say `Local URL`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    with subprocess.Popen(
        [*command, "--server.port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as server:
        try:
            told = next(line for line in server.stdout if "URL" in line)
            assert told.strip() == f"URL: http://127.0.0.1:{port}"
            health = f"http://127.0.0.1:{port}/_stcore/health"
            with urllib.request.urlopen(health, timeout=30) as answer:
                assert answer.read() == b"ok"
        finally:
            server.kill()
