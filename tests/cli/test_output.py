"""Where the command line writes to: letters lacking, readers gone, devices full."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmrank.cli.terminal import each_of, give
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import child_environment

FULL = Path("/dev/full")
on_linux = pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")

PRINTING = """
import sys
from llmrank import __main__, cli as cli
from llmrank.cli.terminal import ProgressBar, give

def measured(options):
    ProgressBar()("Measuring γ ...", 0, 1)
    give({"θ": "× 2", "name": "\\U0001f600 \\udcff"}, sys.argv[1], "θ × 2 " * 5000)
    print("and on it went", file=open(sys.argv[2], "w"))

__main__.cli.methods_command = measured
sys.exit(__main__.main(["methods"]))
"""


def ran(tmp_path, target, *, encoding="utf-8", **streams):
    """Run a command that measures, prints and goes on."""
    command = [sys.executable, "-c", PRINTING, str(target), str(tmp_path / "on")]
    caught = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    environment = child_environment(PYTHONIOENCODING=encoding)
    return subprocess.run(command, env=environment, **caught)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_json_stays_json_in_every_encoding(tmp_path, encoding):
    told = ran(tmp_path, "-", encoding=encoding)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout.decode(encoding))
    assert found == {"θ": "× 2", "name": "\U0001f600 \udcff"}


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("ascii", r"\u03b8 \u00d7 2"), ("latin-1", r"\u03b8 × 2"), ("utf-8", "θ × 2")],
)
def test_a_table_is_printed_in_every_encoding(tmp_path, encoding, expected):
    told = ran(tmp_path, tmp_path / "found.json", encoding=encoding)
    assert told.returncode == 0, told.stderr
    assert told.stdout.decode(encoding).startswith(expected)
    assert (tmp_path / "on").exists()
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert found["name"] == "\U0001f600 \udcff"


def test_a_reader_that_leaves_ends_it_quietly_and_the_file_is_there(tmp_path):
    read, write = os.pipe()
    os.close(read)
    told = ran(tmp_path, tmp_path / "found.json", stdout=write)
    os.close(write)
    assert told.returncode == 141
    assert b"Error" not in told.stderr
    assert b"Exception" not in told.stderr
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["θ"] == "× 2"


@on_linux
def test_a_full_device_is_said_in_one_sentence_and_the_file_is_there(tmp_path):
    with FULL.open("w") as full:
        told = ran(tmp_path, tmp_path / "found.json", stdout=full)
    assert told.returncode == 2
    *_, sentence = told.stderr.decode().splitlines()
    assert sentence.startswith(
        "error: standard output takes no more (No space left on device)"
    )
    assert b"Traceback" not in told.stderr
    assert (tmp_path / "found.json").exists()


@on_linux
def test_a_screen_that_takes_no_progress_ends_no_measurement(tmp_path):
    with FULL.open("w") as full:
        told = ran(tmp_path, "-", stderr=full)
    assert told.returncode == 0
    assert json.loads(told.stdout)["θ"] == "× 2"
    assert (tmp_path / "on").exists()


@on_linux
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--help >/dev/full", 2),
        ("methods >/dev/full", 2),
        ("methods >/dev/full 2>/dev/full", 2),
        ("methods >&- 2>&-", 0),
        ("unknown 2>/dev/full", 2),
        ("methods | true; exit ${PIPESTATUS[0]}", 141),
    ],
)
def test_every_command_ends_with_a_status(words, expected):
    told = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m llmrank {words}"],
        capture_output=True,
        env=child_environment(),
    )
    assert told.returncode == expected
    assert b"Traceback" not in told.stderr
    assert b"Exception" not in told.stderr


def test_a_file_that_cannot_be_written_takes_nothing_from_the_screen(tmp_path, capsys):
    with pytest.raises(LLMRankError, match="does not exist"):
        give({}, str(tmp_path / "no" / "found.json"), "the table")
    assert capsys.readouterr().out == "the table\n"


def test_one_output_that_fails_keeps_no_other_from_being_written():
    done = []

    def failing():
        raise LLMRankError("the disk is full")

    with pytest.raises(LLMRankError, match="the disk is full"):
        each_of(lambda: done.append(1), failing, lambda: done.append(3))
    assert done == [1, 3]
