"""Which paths are taken, and that nothing half-written ever looks whole."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from llmrank.core import paths
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import (
    check_export_target,
    check_file_target,
    named_path,
    written_file,
    written_whole,
)

ROOT = Path(__file__).parents[2]


def refusal(check, path):
    with pytest.raises(LLMRankError) as caught:
        check(path)
    return str(caught.value)


# Which folders


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    assert paths.cache_folder() == tmp_path
    monkeypatch.setenv("LLMRANK_CACHE", "")
    assert paths.cache_folder() == Path.home() / ".cache" / "llmrank"
    monkeypatch.delenv("LLMRANK_CACHE")
    assert paths.cache_folder() == Path.home() / ".cache" / "llmrank"


@pytest.mark.parametrize("told", ["", " "])
def test_an_empty_variable_names_no_database(monkeypatch, told):
    monkeypatch.setenv("LLMRANK_DB", told)
    home = Path.home() / ".local" / "share" / "llmrank"
    assert paths.results_file() == home / "results.sqlite3"


@pytest.mark.parametrize(
    "name", ["x" * 300, "y/" * 3000, "~nobody-of-that-name/x", "zero\0byte", "\ud800"]
)
def test_a_name_that_no_file_can_have_is_refused_everywhere(name):
    for check in (named_path, check_export_target, check_file_target):
        said = refusal(check, Path(name))
        assert "can be neither read nor written" in said
        assert len(said) < 250


def test_the_tilde_means_home():
    assert named_path("~/x") == Path.home() / "x"


# Refused targets


def test_a_new_folder_and_an_empty_one_are_taken(tmp_path):
    check_export_target(tmp_path / "new" / "deeper")
    (tmp_path / "empty").mkdir()
    check_export_target(tmp_path / "empty")
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


def test_a_file_is_no_export_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    said = refusal(check_export_target, tmp_path / "file")
    assert said.endswith("file is a file; name a new or an empty folder")


@pytest.mark.parametrize("name", ["precious.txt", ".hidden"])
def test_a_folder_with_something_in_it_is_no_export_folder(tmp_path, name):
    (tmp_path / name).write_text("mine")
    said = refusal(check_export_target, tmp_path)
    assert "is not empty and nothing in it is overwritten" in said
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_to_a_full_folder_is_no_export_folder(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "full")
    assert "is not empty" in refusal(check_export_target, tmp_path / "link")


def test_a_place_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "cannot be written to" in refusal(check_export_target, tmp_path / "file/x")
    assert "does not exist" in refusal(check_file_target, tmp_path / "file/x")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc takes no folders")
def test_a_place_that_cannot_be_written_is_refused_even_for_root():
    for check in (check_export_target, check_file_target):
        said = refusal(check, Path("/proc/new"))
        assert said.startswith("the folder of /proc/new cannot be written to (")


def test_a_refusal_tells_not_where_a_link_leads(tmp_path):
    if not Path("/proc/self").exists():
        pytest.skip("/proc takes no folders")
    (tmp_path / "link").symlink_to("/proc")
    for check in (check_export_target, check_file_target):
        assert "/proc" not in refusal(check, tmp_path / "link" / "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    said = refusal(check_export_target, tmp_path / "locked" / "new")
    assert "cannot be written to (Permission denied)" in said


def test_the_working_folder_is_not_swapped_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name a new folder in it" in refusal(check_export_target, Path())


def test_a_file_target_is_neither_a_folder_nor_a_device(tmp_path):
    assert "is a folder; name a file in it" in refusal(check_file_target, tmp_path)
    assert "is a device" in refusal(check_file_target, Path(os.devnull))
    said = refusal(check_file_target, tmp_path / "no" / "file.json")
    assert (
        said == f"the folder of {tmp_path}/no/file.json does not exist; make it first"
    )


# Written whole or not at all


def contents(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_folder_appears_only_when_all_is_written(tmp_path):
    target = tmp_path / "a" / "model"
    with written_whole(target) as beside:
        (beside / "weights").write_text("1")
        assert not target.exists()
        (beside / "config").write_text("2")
    assert contents(tmp_path) == ["a", "a/model", "a/model/config", "a/model/weights"]


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], indirect=True)
def test_what_is_written_is_as_open_as_the_umask_says(tmp_path, umask):
    """Some writers, safetensors for one, make files that only their owner reads."""

    def closed(path):
        path.write_text("1")
        path.chmod(0o600)

    with written_whole(tmp_path / "model") as beside:
        (beside / "inner").mkdir(mode=0o700)
        closed(beside / "weights")
        closed(beside / "inner" / "more")
    with written_file(tmp_path / "scores") as path:
        closed(path)
    modes = {n: (tmp_path / n).stat().st_mode & 0o777 for n in contents(tmp_path)}
    paths, files = 0o777 & ~umask, 0o666 & ~umask
    assert modes == {
        "model": paths,
        "model/inner": paths,
        "model/inner/more": files,
        "model/weights": files,
        "scores": files,
    }


def test_an_empty_folder_is_filled_and_a_link_is_followed(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with written_whole(tmp_path / "link") as beside:
        (beside / "x").touch()
    assert contents(tmp_path) == ["empty", "empty/x", "link"]
    assert (tmp_path / "link" / "x").exists()


@pytest.mark.parametrize("error", [KeyError("bug"), KeyboardInterrupt(), OSError(28)])
def test_an_exception_leaves_nothing(tmp_path, error):
    seen = LLMRankError if isinstance(error, OSError) else type(error)

    def write():
        with written_whole(tmp_path / "model") as beside:
            (beside / "half").write_text("1")
            raise error

    with pytest.raises(seen):
        write()
    assert contents(tmp_path) == []


def test_a_folder_that_fills_meanwhile_is_not_overwritten(tmp_path):
    target = tmp_path / "model"

    def write():
        with written_whole(target) as beside:
            (beside / "ours").touch()
            target.mkdir()
            (target / "theirs").touch()

    with pytest.raises(LLMRankError, match=r"model failed \(Directory not empty\)"):
        write()
    assert contents(tmp_path) == ["model", "model/theirs"]


def test_of_many_writers_at_once_one_wins_whole(tmp_path):
    refused, barrier = [], threading.Barrier(4, timeout=30)

    def write(number):
        try:
            with written_whole(tmp_path / "model") as beside:
                barrier.wait()
                for name in "abc":
                    (beside / name).write_text(str(number))
        except LLMRankError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert contents(tmp_path) == ["model", "model/a", "model/b", "model/c"]
    assert len({f.read_text() for f in (tmp_path / "model").iterdir()}) == 1


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with written_file(target) as beside:
        beside.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert contents(tmp_path) == ["report.json"]


def test_a_file_that_fails_leaves_the_old_one(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")

    def write():
        with written_file(target) as beside:
            beside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert target.read_text() == "old"
    assert contents(tmp_path) == ["report.json"]


def test_a_block_that_writes_no_file_is_told(tmp_path):
    def write():
        with written_file(tmp_path / "x"):
            pass

    with pytest.raises(LLMRankError, match="No such file"):
        write()


FULL_DISK = """
import resource, sys
from pathlib import Path
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import written_file, written_whole

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
for write in (written_whole, written_file):
    try:
        with write(Path(sys.argv[1]) / write.__name__) as beside:
            if write is written_whole:
                (beside / "small").write_bytes(b"x" * 900)
                beside = beside / "large"
            beside.write_bytes(b"x" * 1001)
    except LLMRankError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits the size of files")
def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    """A process whose files may not pass 1,000 bytes: writing fails for real."""
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    told = ran.stdout.splitlines()
    assert [t.split(" failed ")[0] for t in told] == [
        f"writing {tmp_path}/written_whole",
        f"writing {tmp_path}/written_file",
    ], ran.stderr
    for text in told:
        assert text.endswith(
            "(File too large); nothing was left there, free some space or name "
            "another place"
        )
    assert contents(tmp_path) == []
