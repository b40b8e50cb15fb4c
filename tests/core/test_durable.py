"""What is written is on the disk; what killed programs had begun goes away."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmrank.core import durable
from llmrank.core.durable import begin, make_folder, sweep
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import keep_in, searches_folder, written_file, written_whole
from llmrank.core.process import this_process
from llmrank.experiments.store import Store

ROOT = Path(__file__).parents[2]
DAY = 25 * 3600

WRITER = """
import sys, time
from pathlib import Path
from llmrank.core.paths import written_file, written_whole

with written_whole(Path(sys.argv[1]) / "model") as folder:
    (folder / "weights").write_bytes(b"x" * 1000)
    with written_file(Path(sys.argv[1]) / "scores") as path:
        path.write_bytes(b"x" * 1000)
        print("begun", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of an export and of a file."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as child:
        assert child.stdout.readline() == b"begun\n"
        yield child
        child.kill()


def begun(folder):
    return sorted(p for p in folder.iterdir() if p.name.startswith(".llmrank-"))


# On the disk


@pytest.fixture
def steps(monkeypatch):
    """What is synchronised (by its number on the disk) and renamed, in its order."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor):
        seen.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def replaced(source, target):
        seen.append("renamed")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return seen


def number(path):
    return path.stat().st_ino


def test_a_folder_takes_its_name_when_all_of_it_is_on_the_disk(tmp_path, steps):
    target = tmp_path / "new" / "model"
    with written_whole(target) as beside:
        (beside / "weights").write_text("1")
        (beside / "inner").mkdir()
        (beside / "inner" / "more").write_text("2")
        assert steps == [number(tmp_path)]  # a folder was made in it
    before = steps[1 : steps.index("renamed")]
    files = {number(target / "weights"), number(target / "inner" / "more")}
    assert set(before[:2]) == files
    assert before[2:] == [number(target / "inner"), number(target)]
    assert steps[-1] == number(tmp_path / "new")


def test_a_file_takes_its_name_when_it_is_on_the_disk(tmp_path, steps):
    target = tmp_path / "report.json"
    with written_file(target) as beside:
        beside.write_text("all")
        assert steps == []
    assert steps[0] == number(target)
    assert steps[-2:] == ["renamed", number(tmp_path)]


def test_a_writer_whose_disk_fails_at_last_has_written_nothing(tmp_path, monkeypatch):
    def failing(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    for write in (written_whole, written_file):
        with (
            pytest.raises(LLMRankError, match="Input/output error"),
            write(tmp_path / "target") as beside,
        ):
            (beside / "x" if write is written_whole else beside).write_text("1")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_a_file_system_cannot_synchronise_do_no_harm(
    tmp_path, monkeypatch
):
    def unable(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unable)
    with written_file(tmp_path / "file") as beside:
        beside.write_text("all")
    assert (tmp_path / "file").read_text() == "all"


def test_every_folder_that_is_made_has_its_name_on_the_disk(tmp_path, steps):
    make_folder(tmp_path / "a" / "b")
    assert set(steps) == {number(tmp_path), number(tmp_path / "a")}
    make_folder(tmp_path / "a" / "b")
    assert len(steps) == 2


def test_a_database_waits_for_the_disk_at_every_commit(tmp_path):
    store = Store(tmp_path / "results.sqlite3")
    with store._database.reading() as connection:
        found = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    assert found == 2  # FULL


def test_a_search_that_cannot_be_kept_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "file"))
    with pytest.raises(LLMRankError, match="the search cannot be kept"):
        keep_in(searches_folder(), "the search")


# Left over


def test_what_a_killed_process_had_begun_goes_with_the_next_write(tmp_path, writer):
    writer.kill()
    writer.wait()
    assert len(begun(tmp_path)) == 2
    with written_file(tmp_path / "other") as beside:
        beside.write_text("mine")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]


def test_an_export_into_the_folder_where_one_was_killed_finds_it_empty(
    tmp_path, writer
):
    writer.kill()
    writer.wait()
    with written_whole(tmp_path) as beside:
        (beside / "weights").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_what_a_living_process_has_begun_stays(tmp_path, writer):
    theirs = begun(tmp_path)
    assert len(theirs) == 2
    for path in theirs:  # however long it takes
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert begun(tmp_path) == theirs
    assert writer.poll() is None


def test_what_this_process_has_begun_stays(tmp_path):
    mine = begin(tmp_path)
    assert begin(tmp_path) != mine
    assert mine in begun(tmp_path)
    assert mine.stat().st_mode & 0o777 == 0o700


def old(path, seconds):
    then = time.time() - seconds
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))


@pytest.mark.parametrize("name", [".llmrank-1-1700000000-else.where-", ".llmrank-"])
def test_what_cannot_be_asked_goes_a_day_after_its_last_byte(tmp_path, name):
    """Of another machine that shares the disk, or of a version that named nobody."""
    path = tmp_path / f"{name}a1b2c3_d"
    (path / "new").mkdir(parents=True)
    (path / "new" / "weights").touch()
    sweep(tmp_path)
    assert path.exists()
    old(path, DAY)
    os.utime(path / "new" / "weights")  # it is written to still
    sweep(tmp_path)
    assert path.exists()
    old(path, DAY)
    sweep(tmp_path)
    assert not path.exists()


def test_a_process_that_has_the_number_of_a_dead_one_is_not_its_owner(tmp_path):
    us = this_process()
    path = (
        tmp_path
        / f".llmrank-{us.pid}-{us.started - 1000:.0f}-{platform.node()}-12345678"
    )
    path.mkdir()
    sweep(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize(
    "name",
    ["llmrank-12345678", ".llmrank", ".llmrank-notes", ".llmrank-a-b-c-12345678"],
)
def test_what_others_have_named_alike_stays(tmp_path, name):
    (tmp_path / name).mkdir()
    old(tmp_path / name, DAY)
    sweep(tmp_path)
    assert (tmp_path / name).exists()


def test_a_folder_that_holds_what_we_never_put_there_stays(tmp_path):
    (tmp_path / ".llmrank-settings").mkdir()
    (tmp_path / ".llmrank-settings" / "mine").touch()
    old(tmp_path / ".llmrank-settings", DAY)
    sweep(tmp_path)
    assert (tmp_path / ".llmrank-settings" / "mine").exists()


def test_a_file_and_a_link_are_never_swept(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / ".llmrank-12345678").symlink_to(tmp_path / "mine")
    (tmp_path / ".llmrank-87654321").touch()
    os.utime(tmp_path / ".llmrank-87654321", (0, 0))
    os.utime(tmp_path / "mine", (0, 0))
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_what_another_user_has_closed_keeps_nothing_behind_it(tmp_path, monkeypatch):
    listed, names = os.listdir, []
    for i in range(5):  # whichever the folder lists first
        path = tmp_path / f".llmrank-1-1700000000-{durable._machine()}-1234567{i}"
        path.mkdir()
        names.append(path.name)
    judged = durable._is_left_over

    def closed(path, named):
        if path.name == names[0]:
            raise PermissionError(13, "Permission denied")
        return judged(path, named)

    monkeypatch.setattr(durable, "_is_left_over", closed)
    monkeypatch.setattr(os, "listdir", lambda folder: sorted(listed(folder)))
    sweep(tmp_path)
    assert [p.name for p in begun(tmp_path)] == [names[0]]


def test_a_folder_that_is_not_there_needs_no_sweeping(tmp_path):
    sweep(tmp_path / "nowhere")


def test_a_machine_of_any_name_can_be_written_into_a_file_name(tmp_path, monkeypatch):
    monkeypatch.setattr(durable.platform, "node", lambda: "a/b c" + "x" * 300)
    assert begin(tmp_path).name.startswith(f".llmrank-{os.getpid()}-")
    sweep(tmp_path)
    assert len(begun(tmp_path)) == 1
