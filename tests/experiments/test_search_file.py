"""A search is found again, also one that an earlier version kept."""

import hashlib
import json
from dataclasses import replace

import pytest

from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline.search_file import SearchFile
from llmrank.methods.allocation import Search
from llmrank.methods.criteria import LLMRank, Wanda
from llmrank.methods.method import Method
from llmrank.methods.width_search import Searched
from llmrank.models.language_model import ModelSpec

ASKED = Experiment(method=Method(LLMRank(), Search(evaluations=9)))
FORMERLY = (
    "(StageSpecs(model={}, calibration={}, criterion={}, pruning={}, allocation={}, "
    "repair={}), 'text', 'weights')"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    return tmp_path / "searches"


@pytest.fixture
def found():
    return Searched((24, 10), 0.06, ((0, 0.07), (4, 0.06)), seed=0)


def test_a_search_is_read_as_it_was_written_and_by_no_other(folder, found):
    SearchFile(ASKED, "text", "weights").write(found)
    assert SearchFile(ASKED, "text", "weights").read() == found
    for other in (
        ASKED.using(criterion=Wanda()),
        replace(ASKED, model=ModelSpec("x")),
    ):
        assert SearchFile(other, "text", "weights").read() is None
    assert SearchFile(ASKED, "another", "weights").read() is None
    assert SearchFile(ASKED, "text", "others").read() is None
    assert len(list(folder.iterdir())) == 1


def test_a_search_of_an_earlier_version_is_found(folder, found):
    method = ASKED.method
    specs = (ASKED.model, ASKED.calibration, method.criterion, ASKED.pruning)
    said = FORMERLY.format(*specs, method.allocation, method.repair)
    named = hashlib.sha256(said.encode()).hexdigest()
    folder.mkdir()
    (folder / f"{named}.json").write_text(json.dumps(found.to_json()))
    assert SearchFile(ASKED, "text", "weights").read() == found


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_what_is_damaged_is_no_search(folder, found, content):
    SearchFile(ASKED, "text", "weights").write(found)
    (path,) = folder.iterdir()
    path.write_text(content)
    assert SearchFile(ASKED, "text", "weights").read() is None
