"""Fetching from the hub, against a server on this machine that answers as it does."""

import email.utils
import json
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest
import torch
from conftest import save_folder, tiny_model
from hub_server import REPO, Server, gone

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.core.paths import child_environment
from llmrank.models.downloader import FILES
from llmrank.models.language_model import ModelSpec, load, shape

pytestmark = pytest.mark.slow

PROMPT = torch.arange(1, 40)[None]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub with one model, and an empty cache; both for this process and children."""
    lm = tiny_model()
    lm.model.resize_token_embeddings(100_000, mean_resizing=False)  # 13 MB
    folder = save_folder(lm, tmp_path / "upstream")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("raise SystemExit")
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_is_fetched_with_progress_and_then_from_the_cache(served):
    served.pause_s = 0.03
    seen = []
    spec = ModelSpec(name=REPO, device="cpu")
    loaded = load(spec, progress=lambda *report: seen.append(report))
    assert loaded.model(PROMPT).logits.shape[-1] == 100_000
    fetched = [(done, total) for what, done, total in seen if "Downloading" in what]
    data = sum(len(c) for n, c in served.files.items() if n[-3:] not in (".py", "bin"))
    config = len(served.files["config.json"])  # it came first, to be looked at
    assert {total for _, total in fetched} == {(data - config) // 10**6}
    done = [done for done, _ in fetched]
    assert done == sorted(done)
    assert len(set(done)) > 3
    assert served.sent["pytorch_model.bin"] == served.sent["modeling.py"] == 0
    before = dict(served.sent)
    load(spec)
    assert served.sent == before


def test_a_download_can_be_stopped_and_leaves_nothing_half_written(served, tmp_path):
    served.pause_s = 0.05
    weights = "model.safetensors"

    def impatient(what, done, total):
        if "Downloading" in what and done > total / 4:
            raise CancelledError

    other = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}" / "blobs"
    other.mkdir(parents=True)
    (other / "of-another.incomplete").touch()
    with pytest.raises(CancelledError):
        load(ModelSpec(name=REPO, device="cpu"), progress=impatient)
    time.sleep(0.5)  # what was on its way arrives nowhere
    assert served.sent[weights] < len(served.files[weights])
    begun = [p.name for p in tmp_path.rglob("*.incomplete")]
    assert begun == ["of-another.incomplete"]
    assert not list(tmp_path.glob("hub/**/*.safetensors"))
    sent, served.pause_s = served.sent["tokenizer.json"], 0.0
    load(ModelSpec(name=REPO, device="cpu"))
    assert served.sent["tokenizer.json"] == sent  # the whole files are kept


FETCHER = """
import sys
from llmrank.models.hub import fetch
fetch(sys.argv[1], "main", progress=lambda *report: print(*report, flush=True))
"""


def test_a_killed_program_takes_its_downloader_along(served, tmp_path):
    served.pause_s = 0.05
    command = [sys.executable, "-c", FETCHER, REPO]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=child_environment()
    ) as program:
        next(line for line in program.stdout if " 4 " in line)  # MB
        (downloader,) = psutil.Process(program.pid).children()
        assert list(tmp_path.rglob("*.incomplete"))
        program.kill()
        program.wait()
        assert gone(downloader.pid)
    assert not list(tmp_path.rglob("*.incomplete"))


def test_what_a_killed_downloader_had_begun_goes_with_the_next_fetch(served, tmp_path):
    from filelock import FileLock

    blobs = tmp_path / "hub" / "models--some--other" / "blobs"
    locks = tmp_path / "hub" / ".locks" / "models--some--other"
    names = {
        "dead.01234567.incomplete": False,
        "held.01234567.incomplete": True,
        "resumed-by-old-clients.incomplete": True,
        "dead": True,  # a whole file
    }
    for folder in (blobs, locks):
        folder.mkdir(parents=True)
    for name in (*names, "young.01234567.incomplete"):
        (blobs / name).touch()
    for name in names:
        os.utime(blobs / name, (0, 0))
    (locks / "dead.lock").touch()
    with FileLock(locks / "held.lock"):
        shape(ModelSpec(name=REPO))
    left = {path.name for path in blobs.iterdir()}
    kept = {name for name, stays in names.items() if stays}
    assert left == kept | {"young.01234567.incomplete"}
    assert served.sent["config.json"] > 0


def in_two_seconds():
    """Counted from the answer on: the child that asks takes its time to start."""
    return {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "1"}),
        (503, {"Retry-After": "1"}),
        (429, in_two_seconds),
        (429, {"RateLimit": '"api";r=0;t=1'}),
    ],
)
def test_a_hub_that_asks_to_wait_is_waited_for_and_it_is_said(served, status, headers):
    seen = []
    served.refusals = [(status, headers)]
    found = load(ModelSpec(name=REPO, device="cpu"), progress=lambda *r: seen.append(r))
    assert found.model(PROMPT).logits.shape[-1] == 100_000
    waited = {(what, total) for what, _, total in seen if "asks to wait" in what}
    assert len(waited) == 1
    ((what, total),) = waited
    assert f"asks to wait {total} s ({status}, " in what
    assert total in (1, 2)


def test_waiting_for_the_hub_can_be_stopped(served):
    served.refusals = [(429, {"Retry-After": "3600"})]

    def impatient(what, done, total):
        if "asks to wait 3600 s (429, too many requests)" in what:
            assert (done, total) == (0, 3600)
            raise CancelledError

    start = time.monotonic()
    with pytest.raises(CancelledError):
        load(ModelSpec(name=REPO, device="cpu"), progress=impatient)
    assert time.monotonic() - start < 10


def test_a_hub_that_never_stops_refusing_is_named(served):
    served.refusals = [(429, {"Retry-After": "0"})] * 50
    with pytest.raises(LLMRankError, match=r"refuses requests for now \(429, after 5"):
        load(ModelSpec(name=REPO, device="cpu"))


@pytest.mark.usefixtures("served")
def test_a_hub_that_does_not_answer_can_be_left(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # refused, and tried again
    asked = []

    def impatient(*report):
        asked.append(report)
        if len(asked) == 5:
            raise CancelledError

    start = time.monotonic()
    with pytest.raises(CancelledError):
        load(ModelSpec(name=REPO, device="cpu"), progress=impatient)
    assert time.monotonic() - start < 10
    assert any("Asking the Hugging Face hub" in what for what, _, _ in asked)


def test_a_model_is_described_before_its_weights_are_fetched(served):
    assert shape(ModelSpec(name=REPO)).d_vocab == 100_000
    assert served.sent["model.safetensors"] == 0


@pytest.mark.usefixtures("served")
def test_a_model_that_the_hub_does_not_have_is_refused():
    with pytest.raises(LLMRankError, match=r"no model 'someone/else'.*RepositoryNot"):
        load(ModelSpec(name="someone/else", device="cpu"))


def test_an_unsupported_type_is_refused_before_its_weights_are_fetched(served):
    config = json.loads(served.files["config.json"]) | {"model_type": "bert"}
    served.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(LLMRankError, match="type 'bert' are not supported"):
        load(ModelSpec(name=REPO, device="cpu"))
    assert served.sent["model.safetensors"] == 0


def test_nothing_but_data_is_fetched():
    fetched = {pattern.split(".")[-1] for pattern in FILES}
    assert fetched == {"json", "safetensors", "model", "txt", "jinja"}
