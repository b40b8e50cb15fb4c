"""Recovery through the pipeline: what is kept, gone on with, said and refused."""

import re
from dataclasses import replace

import pytest
import torch
from conftest import TEXT

import llmrank
from llmrank.core.errors import LLMRankError
from llmrank.core.statistics import times_spread
from llmrank.evaluation.perplexity import evaluate, perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline, recovery
from llmrank.experiments.pipeline.stepwise import nested
from llmrank.experiments.run import recovery_facts, run
from llmrank.experiments.settings import experiment
from llmrank.experiments.store import Store
from llmrank.methods.criteria import Scores
from llmrank.methods.method import method, written
from llmrank.methods.pruning import PruningPlan, top
from llmrank.methods.recovery import Distillation, NoRecovery, training


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """Forty windows of 256 bytes."""
    path = tmp_path_factory.mktemp("texts") / "long.txt"
    path.write_text((TEXT * 2)[: 40 * 256], "utf-8")
    return path


@pytest.fixture
def asked(asked, long_text, tmp_path, monkeypatch):
    """The settings of a recovery of a second or two; what it keeps is the test's."""
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    return asked | {
        "recovery": "distil",
        "recovery_text": str(long_text),
        "train_tokens": "2048",
        "lr": "0.01",
    }


def test_recovery_comes_after_cut_and_repair_and_says_how_it_went(asked):
    pipeline, moments = Pipeline(), []
    recovered = experiment(asked)
    plain = recovered.using(recovery=NoRecovery())
    report = run(recovered, pipeline=pipeline, train=moments.append)
    before = run(plain, pipeline=pipeline)
    assert pipeline.plan(recovered) is pipeline.plan(plain)  # which go is the same
    assert [m.n_tokens for m in moments] == [512 * i for i in range(5)]
    said = report.environment["recovery"]
    assert re.fullmatch(r"2,048 tokens in [\d.]+ min, the best after [\d,]+", said)
    assert "recovery" not in before.environment
    first, last = moments[0].held_out, moments[-1].held_out
    assert set(first) == {"this text", "another text"}
    assert last["this text"].divergence < first["this text"].divergence
    assert (
        report.comparison.pruned.text.perplexity.value
        < before.comparison.pruned.text.perplexity.value
    )
    assert report.comparison.dense.text == before.comparison.dense.text


def test_what_was_trained_is_there_in_another_process(asked, monkeypatch):
    once = Pipeline().recovered(experiment(asked))

    def fail(*_):
        raise AssertionError("it was trained already")

    monkeypatch.setattr(training.Training, "_train", fail)
    again = Pipeline().recovered(experiment(asked))
    assert again.curve == once.curve
    assert (once.is_kept, again.is_kept) == (False, True)
    assert recovery_facts(again)["recovery"].endswith("; trained before and kept")
    weights = [r.model.model.state_dict().values() for r in (once, again)]
    assert all(map(torch.equal, *weights))
    with pytest.raises(AssertionError, match="trained already"):
        Pipeline().recovered(experiment(asked | {"seed": "1"}))


def test_half_a_file_is_no_file(asked, tmp_path):
    once = Pipeline().recovered(experiment(asked))
    (file,) = (tmp_path / "cache" / "recoveries").iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    again = Pipeline().recovered(experiment(asked))
    assert [m.batch for m in again.curve] == [m.batch for m in once.curve]


def test_enough_measures_what_there_is(asked):
    moments = []
    report = run(
        experiment(asked), train=moments.append, enough=lambda: len(moments) > 2
    )
    assert report.environment["recovery"].endswith("; stopped by hand")
    assert report.comparison.perplexity_ratio is not None


def test_a_text_too_short_to_hold_out_some_is_refused(asked, tiny_text):
    with pytest.raises(LLMRankError, match="give a longer text"):
        run(experiment(asked | {"recovery_text": str(tiny_text)}))


def test_a_recipe_names_a_recovery_only_where_there_is_one(asked, tmp_path):
    """Or what was measured before there was one would be measured again."""
    plain = Experiment()
    assert "recovery" not in plain.to_json()
    recovered = plain.using(recovery=Distillation(minutes=3.0))
    recipe = recovered.to_json()
    assert recipe["recovery"]["name"] == "distil"
    assert Experiment.from_json(recipe) == recovered
    assert Experiment.from_json(plain.to_json()) == plain
    assert recovered.method.name == "llm-rank + distil 3 min"
    assert method(written(recovered.method)) == recovered.method
    store = Store(tmp_path / "results.sqlite3")
    store.add_report(run(experiment(asked)))
    (run_,) = store.runs(columns={"recovery": ["distil"]})
    assert run_.experiment == experiment(asked)
    assert not store.runs(columns={"recovery": ["none"]})


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_cuts_in_steps_end_where_one_would_and_take_the_least_first(n_steps):
    generator = torch.Generator().manual_seed(0)
    scores = Scores(tuple(torch.rand(n, generator=generator) for n in (40, 60)))
    whole = top(scores, [10, 60])
    there, widths = [torch.arange(40), torch.arange(60)], []
    for own, part in nested(scores, whole, n_steps):
        assert part.dense_widths == tuple(map(len, there))
        for mine, score, index in zip(own.layers, scores.layers, there, strict=True):
            assert torch.equal(mine, score[index])
        there = [i[k] for i, k in zip(there, part.keep, strict=True)]
        assert torch.equal(there[0], top(scores, part.widths).keep[0])
        widths.append(part.widths[0])
    assert all(map(torch.equal, there, whole.keep))
    assert widths == {1: [10], 2: [20, 10], 3: [25, 16, 10]}[n_steps]


def test_what_is_kept_in_the_end_stays_though_its_scores_are_low():
    """Widths by hand or a file of one's own may keep others than the highest."""
    keep = torch.tensor([0, 1])
    plan = PruningPlan((keep,), (8,))
    first, last = nested(Scores((torch.arange(8.0),)), plan, 2)
    assert first[1].keep[0].tolist() == [0, 1, 6, 7]
    assert last[1].keep[0].tolist() == [0, 1]


def test_a_recovery_in_steps_cuts_as_planned_and_counts_all_it_read(asked):
    pipeline, moments = Pipeline(), []
    stepwise = experiment(asked | {"steps": "2", "repair": "least-squares"})
    report = run(stepwise, pipeline=pipeline, train=moments.append)
    plan = pipeline.plan(stepwise)
    assert report.comparison.pruned.footprint.widths == plan.widths
    assert [m.n_tokens for m in moments] == [0, 512, 1024, 1024, 1536, 2048]
    assert report.environment["recovery"].startswith("2,048 tokens")
    halfway, cut_again = moments[2], moments[3]
    assert cut_again.divergence > halfway.divergence  # it lost neurons in between
    assert moments[-1].divergence < cut_again.divergence
    once = run(experiment(asked | {"repair": "least-squares"}), pipeline=pipeline)
    ends = [r.comparison.pruned.text.perplexity.value for r in (once, report)]
    assert ends[0] != ends[1]


def test_what_is_cut_already_is_not_cut_in_steps(tiny):
    with pytest.raises(LLMRankError, match="cut already"):
        llmrank.recover(tiny, tiny, Distillation(steps=2))


def test_the_library_recovers_a_model_of_ones_own(tiny, long_text, monkeypatch):
    monkeypatch.setattr(recovery, "HELD_OUT", 4)
    keep = [torch.arange(0, w, 2) for w in llmrank.models.ffn.widths(tiny.model)]
    pruned = replace(tiny, model=llmrank.models.ffn.cut(tiny.model, keep))
    spec = Distillation(train_tokens=1024, recovery_text=str(long_text), lr=0.01)
    done = llmrank.recover(pruned, tiny, spec)
    assert done.best.divergence < done.curve[0].divergence


def test_the_control_of_cross_entropy_is_read_on_the_same_text(asked):
    settings = {k: v for k, v in asked.items() if k != "recovery"}
    more = {"recovery": "lora", "loss": "cross-entropy", "train_tokens": "1024"}
    pipeline, lora = Pipeline(), experiment(settings | more)
    report = run(lora, pipeline=pipeline)
    control = pipeline.recovered(lora).control
    dense, pruned = report.comparison.dense.text, report.comparison.pruned.text
    text = evaluate(control, lora.evaluation)
    own, against = perplexity_ratio(dense, text), perplexity_ratio(text, pruned)
    assert report.environment["control"] == (
        f"dense trained likewise is at {times_spread(own)} of dense; against that, "
        f"pruned is at {times_spread(against)}"
    )
    again = Pipeline().recovered(lora).control.model.state_dict().values()
    assert all(map(torch.equal, again, control.model.state_dict().values()))
