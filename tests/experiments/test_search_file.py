"""A search is found again, also one that an earlier version kept."""

import hashlib
import json

import pytest

from llmrank.calibration.activations import CalibrationSpec
from llmrank.experiments.pipeline import StageSpecs
from llmrank.experiments.pipeline.search_file import SearchFile
from llmrank.methods.allocation import Search
from llmrank.methods.criteria import LLMRank, Wanda
from llmrank.methods.pruning import PruningSpec
from llmrank.methods.width_search import Searched
from llmrank.models.language_model import ModelSpec

SPECS = StageSpecs(
    ModelSpec(), CalibrationSpec(), LLMRank(), PruningSpec(), Search(evaluations=9)
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    return tmp_path / "searches"


@pytest.fixture
def found():
    return Searched((24, 10), 0.06, ((0, 0.07), (4, 0.06)), seed=0)


def test_a_search_is_read_as_it_was_written_and_by_no_other(folder, found):
    SearchFile(SPECS, "text", "weights").write(found)
    assert SearchFile(SPECS, "text", "weights").read() == found
    for other in (
        SPECS._replace(criterion=Wanda()),
        SPECS._replace(model=ModelSpec("x")),
    ):
        assert SearchFile(other, "text", "weights").read() is None
    assert SearchFile(SPECS, "another", "weights").read() is None
    assert SearchFile(SPECS, "text", "others").read() is None
    assert len(list(folder.iterdir())) == 1


def test_a_search_of_an_earlier_version_is_found(folder, found):
    named = hashlib.sha256(repr((SPECS, "text", "weights")).encode()).hexdigest()
    folder.mkdir()
    (folder / f"{named}.json").write_text(json.dumps(found.to_json()))
    assert SearchFile(SPECS, "text", "weights").read() == found


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_what_is_damaged_is_no_search(folder, found, content):
    SearchFile(SPECS, "text", "weights").write(found)
    (path,) = folder.iterdir()
    path.write_text(content)
    assert SearchFile(SPECS, "text", "weights").read() is None
