"""Whether the calibration suffices: parts against the whole, and what is said of it."""

import dataclasses

import pytest
import torch
from conftest import TEXT, tiny_model

import llmrank
from llmrank.analysis.agreement import Agreement, Overlap
from llmrank.analysis.stability import ENOUGH, Match, nested_parts, stability
from llmrank.calibration.activations import (
    CalibrationSpec,
    LayerStats,
    calibrate,
    calibrate_parts,
    drawn,
)
from llmrank.calibration.gradients import differentiate, differentiate_parts, measure
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.experiments.experiment import Experiment
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import (
    CRITERIA,
    L1,
    Gblm,
    GPrune,
    LLMRank,
    Random,
    Taylor,
    Wanda,
    score,
)
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec, plan
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel, ModelSpec
from llmrank.report.tables.stability import shown_table, stability_table

STATS = [
    f.name
    for f in dataclasses.fields(LayerStats)
    if f.name not in ("block_cosine", "block_angle")
]
HALF = PruningSpec(sparsity=0.5)


@pytest.fixture(scope="module")
def calibration(tiny_text):
    return CalibrationSpec(calibration_text=str(tiny_text), samples=16, seq_len=32)


@pytest.fixture(scope="module")
def parts(tiny, calibration):
    return nested_parts(tiny, calibration, LLMRank())


@pytest.fixture(scope="module")
def found(tiny, calibration, parts):
    return stability(
        tiny, Experiment(tiny.spec, calibration, Method(LLMRank()), HALF), parts=parts
    )


@pytest.fixture(scope="module")
def pieces(tiny, calibration):
    """All evidence there is, of each of two disjoint parts of the text."""
    stats = calibrate_parts(tiny, calibration, [8, 8])
    backwards = differentiate_parts(tiny, calibration, [8, 8])
    return [(stats[i], backwards[i], stats[2 - i]) for i in (0, 2)]


def drops(lm, stats, by=LLMRank(), pruning=HALF, **more):
    dropped = plan(score(lm, stats, by, **more), pruning).drop
    return {(i, int(n)) for i, layer in enumerate(dropped) for n in layer}


# --- parts of the calibration --------------------------------------------------------


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("lengths", [[8, 8], [1, 15], [2, 2, 4, 8], [16]])
def test_all_parts_together_equal_all_at_once(calibration, model_type, lengths):
    lm = tiny_model(model_type)
    whole = calibrate(lm, calibration)
    *_, ours, _ = calibrate_parts(lm, calibration, lengths)
    assert (ours.n_tokens, ours.text_source, ours.text_sha256) == (
        whole.n_tokens,
        whole.text_source,
        whole.text_sha256,
    )
    for a, b in zip(ours.layers, whole.layers, strict=True):
        for name in STATS:
            x, y = getattr(a, name), getattr(b, name)
            assert x.dtype == torch.float32
            scale = float(y.abs().max())  # a mean near 0 is a difference of sums
            torch.testing.assert_close(x, y, rtol=2e-6, atol=2e-6 * scale)
        for name in ("block_cosine", "block_angle"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-5)


def test_unequal_parts_are_weighted_by_their_tokens(tiny, calibration):
    """By hand: 3 and 13 windows; norms as √(a² + b²), the mean as (3a + 13b) / 16."""
    parts = calibrate_parts(tiny, calibration, [3, 13])
    assert [p.n_tokens // 32 for p in parts] == [3, 16, 13]
    a, both, b = (p.layers[1] for p in parts)
    torch.testing.assert_close(both.up_norm, torch.hypot(a.up_norm, b.up_norm))
    mean = (3 * a.neuron_mean + 13 * b.neuron_mean) / 16
    torch.testing.assert_close(both.neuron_mean, mean)
    assert not torch.allclose(both.neuron_mean, (a.neuron_mean + b.neuron_mean) / 2)


def test_leading_parts_are_what_fewer_samples_measure(tiny, calibration, parts):
    """The seed draws one order: a half is calibration with half the samples."""
    assert [p.n_tokens // 32 for p in parts.stats] == [2, 4, 8, 16, 8]
    for ours in parts.stats[:4]:
        fewer = dataclasses.replace(calibration, samples=ours.n_tokens // 32)
        alone = calibrate(tiny, fewer)
        for a, b in zip(ours.layers, alone.layers, strict=True):
            torch.testing.assert_close(a.neuron_norm, b.neuron_norm)


def test_parts_that_are_not_the_whole_are_refused(tiny, calibration):
    for lengths in ([8, 7], [16, 0], [20, -4]):
        with pytest.raises(ValueError, match="must be at least 1 and sum to"):
            calibrate_parts(tiny, calibration, lengths)


def test_each_token_is_read_once(tiny, calibration):
    """Counted at the model: 16 windows of 32, whatever is compared in the end."""
    n_read = []
    twin = ffn.shared_copy(tiny.model)
    twin.model.embed_tokens.register_forward_hook(
        lambda _, ids, __: n_read.append(ids[0].numel())
    )
    watched = LanguageModel(tiny.spec, twin, tiny.tokenizer)
    stability(watched, Experiment(watched.spec, calibration, Method(LLMRank()), HALF))
    assert sum(n_read) == 16 * 32


# --- what is compared ----------------------------------------------------------------


def test_halves_are_disjoint_and_sizes_are_against_all(found):
    assert found.halves.n_tokens == (256, 256)
    assert [m.n_tokens for m in found.sizes] == [(512, 64), (512, 128), (512, 256)]


def test_overlaps_are_those_of_separate_calibrations(tiny, calibration, found):
    """The long way: calibrate anew with fewer samples, drop, and count by hand."""
    whole = drops(tiny, calibrate(tiny, calibration))
    for match, samples in zip(found.sizes, (2, 4, 8), strict=True):
        fewer = dataclasses.replace(calibration, samples=samples)
        part = drops(tiny, calibrate(tiny, fewer))
        assert match.dropped_by_both == len(whole & part) / len(whole)
        assert match.moved == pytest.approx((1 - match.dropped_by_both) / 0.5)


def test_halves_are_against_each_other(tiny, calibration, found):
    halves = calibrate_parts(tiny, calibration, [8, 8])[::2]
    first, second = (drops(tiny, stats) for stats in halves)
    assert found.halves.agreement.total == Overlap(24, 24, len(first & second))
    assert found.halves.by_chance == 0.5


def test_mean_and_worst_are_over_layers(found):
    rhos = found.halves.agreement.spearman
    assert len(rhos) == 2
    assert found.halves.mean_spearman == pytest.approx(sum(rhos) / 2)
    assert found.halves.worst_spearman == min(rhos) < 1
    assert rhos[found.halves.worst_layer] == min(rhos)


def test_known_parts_are_not_read_again(tiny, calibration, parts, found):
    told = []
    specs = Experiment(tiny.spec, calibration, Method(LLMRank()), HALF)
    again = stability(
        tiny, specs, parts=parts, progress=lambda *step: told.append(step)
    )
    assert again == found
    assert {what for what, _, _ in told} == {"Scoring parts of the text"}
    assert (
        stability(tiny, Experiment(tiny.spec, calibration, Method(LLMRank()), HALF))
        == found
    )


def test_the_result_says_on_what_it_was_measured(tiny, calibration, found):
    assert (found.model, found.calibration) == (tiny.spec, calibration)
    assert (found.criterion, found.pruning) == (LLMRank(), HALF)
    assert found.text_sha256 == calibrate(tiny, calibration).text_sha256


@pytest.mark.parametrize(
    ("samples", "halves", "sizes"),
    [
        (2, (32, 32), [32]),
        (3, (32, 64), [32]),
        (5, (64, 96), [32, 64]),
        (7, (96, 128), [32, 96]),
        (9, (128, 160), [32, 64, 128]),
    ],
)
def test_few_windows_give_fewer_sizes(tiny, calibration, samples, halves, sizes):
    few = dataclasses.replace(calibration, samples=samples)
    found = stability(tiny, Experiment(tiny.spec, few, Method(Wanda()), HALF))
    assert found.halves.n_tokens == halves
    assert [m.n_tokens for m in found.sizes] == [(32 * samples, n) for n in sizes]


def test_one_window_has_no_halves(tiny, calibration):
    one = dataclasses.replace(calibration, samples=1)
    with pytest.raises(LLMRankError, match="needs samples of at least 2, got 1"):
        stability(tiny, Experiment(tiny.spec, one, Method(LLMRank()), HALF))


def test_parts_of_another_calibration_are_refused(tiny, calibration, parts):
    longer = dataclasses.replace(calibration, seq_len=33)
    with pytest.raises(ValueError, match=r"must have \[66, 132, 264, 528, 264\] tok"):
        stability(
            tiny, Experiment(tiny.spec, longer, Method(LLMRank()), HALF), parts=parts
        )


def test_a_global_threshold_counts_chance_by_layer(tiny, calibration, parts):
    method, pruning = Method(Wanda(), Global()), PruningSpec(sparsity=0.4)
    asked = Experiment(tiny.spec, calibration, method, pruning)
    match = stability(tiny, asked, parts=parts).halves
    overlaps = match.agreement.overlaps
    expected = sum(o.n_a * o.n_b / 24 for o in overlaps) / sum(o.n_a for o in overlaps)
    assert match.by_chance == pytest.approx(expected)


# --- what data has no say in ---------------------------------------------------------


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_criterion_reads_what_it_says_it_needs_and_no_more(tiny, pieces, name):
    """Other evidence of a kind, all else the same, gives other scores, or the same."""
    by, (here, there) = CRITERIA[name](), pieces
    ours = score(tiny, *here[:1], by, gradients=here[1], second=here[2]).layers
    kinds = ("activations", "gradients", "second text")
    for place, kind in enumerate(kinds):
        stats, backwards, second = (*here[:place], there[place], *here[place + 1 :])
        theirs = score(tiny, stats, by, gradients=backwards, second=second).layers
        same = all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
        assert same == (kind not in by.needs), kind


@pytest.mark.parametrize("by", [L1(), Random(seed=7)])
def test_a_criterion_without_data_reads_nothing_and_says_so(tiny, by):
    missing = CalibrationSpec(calibration_text="/no/such/text.txt", samples=1)
    found = stability(tiny, Experiment(tiny.spec, missing, Method(by), HALF))
    assert (found.halves, found.sizes, found.enough) == (None, (), None)
    assert found.sentence == (
        f"{by.name} looks at no data: calibration does not matter for it."
    )
    assert len(stability_table(found)) == 0


# --- what does not add up -------------------------------------------------------------


@pytest.fixture(scope="module")
def separately(tiny, calibration):
    """Statistics and gradients of fewer samples, each measured anew."""
    every = {n: dataclasses.replace(calibration, samples=n) for n in (2, 4, 8, 16)}
    return {n: (calibrate(tiny, c), differentiate(tiny, c)) for n, c in every.items()}


@pytest.fixture(scope="module")
def backwards(tiny, calibration):
    return nested_parts(tiny, calibration, Taylor())


@pytest.mark.parametrize("by", [Taylor(), Gblm()], ids=lambda by: by.name)
def test_gradients_of_sizes_are_those_of_separate_passes(
    tiny, calibration, separately, backwards, by
):
    found = stability(
        tiny, Experiment(tiny.spec, calibration, Method(by), HALF), parts=backwards
    )
    dropped = {
        n: drops(tiny, stats, by, gradients=of_these)
        for n, (stats, of_these) in separately.items()
    }
    for match, samples in zip(found.sizes, (2, 4, 8), strict=True):
        both = dropped[16] & dropped[samples]
        assert match.dropped_by_both == len(both) / len(dropped[16])


def test_gradients_of_the_second_half_are_those_of_its_windows(
    tiny, calibration, backwards
):
    _, windows = drawn(tiny, calibration)
    (expected,) = measure(tiny, windows[8:])
    second = backwards.gradients[-1]
    assert second.n_samples == 8
    for a, b in zip(second.layers, expected, strict=True):
        torch.testing.assert_close(a.down.element_change, b.down.element_change)


def test_a_second_text_is_read_once_and_whole(tiny, calibration, tmp_path):
    second = tmp_path / "second.txt"
    second.write_text("0123456789 " * 200)
    by = GPrune(second_text=str(second))
    found = nested_parts(tiny, calibration, by)
    beside = dataclasses.replace(calibration, calibration_text=str(second))
    assert found.second.n_tokens == 512
    for a, b in zip(found.second.layers, calibrate(tiny, beside).layers, strict=True):
        assert torch.equal(a.neuron_norm, b.neuron_norm)
    assert found.gradients is None
    specs = Experiment(tiny.spec, calibration, Method(by), HALF)
    assert stability(tiny, specs, parts=found).halves is not None


# --- what is said --------------------------------------------------------------------


def match(n_both, *, n=100, width=200, rho=(0.9, 0.8), tokens=(2048, 1024)):
    """Two layers that drop n of 2 · width neurons in all."""
    halves = [
        Overlap(n // 2, n // 2, n_both // 2),
        Overlap(n // 2, n // 2, n_both // 2),
    ]
    total = Overlap(n, n, n_both)
    chance = n / (2 * width) if n else None
    return Match(tokens, Agreement(rho, tuple(halves), 0.85, total), chance)


def test_moved_is_counted_against_chance():
    """90 of 100 with a quarter by chance: 0.1 / 0.75; at 90 % of all: 0.1 / 0.1."""
    assert match(90).moved == pytest.approx(0.1 / 0.75)
    assert match(324, n=360).moved == pytest.approx(1)
    assert match(100).moved == 0
    assert match(0, n=0).moved is None


@pytest.mark.parametrize(
    ("n_both", "enough", "verdict"),
    [(94, True, "changes 6 % of it: enough."),
     (92, False, "changes 8 % of it: more text would still move it.")],
)  # fmt: skip
def test_the_sentence_gives_figures_and_a_verdict(found, n_both, enough, verdict):
    """25 % are shared by chance: 6 % are 8 % of what chance moves, 8 % are 10.7 %."""
    assert 0.06 / 0.75 < ENOUGH < 0.08 / 0.75
    made = dataclasses.replace(
        found, halves=match(94, tokens=(1024, 1024)), sizes=(match(10), match(n_both))
    )
    assert made.enough is enough
    assert made.sentence == (
        "Two halves of 1,024 tokens agree on 94 % of what is dropped (25 % by chance; "
        "rank correlation 0.850, at worst 0.800 in layer 1); reading 2,048 instead of "
        f"1,024 tokens {verdict}"
    )


def test_unequal_halves_are_both_named(found):
    made = dataclasses.replace(found, halves=match(94, tokens=(1024, 1280)))
    assert made.sentence.startswith("Two halves of 1,024 and 1,280 tokens agree")


def test_without_anything_dropped_there_is_no_verdict(tiny, calibration, parts):
    found = stability(
        tiny,
        Experiment(tiny.spec, calibration, Method(LLMRank()), PruningSpec(sparsity=0)),
        parts=parts,
    )
    assert found.enough is None
    assert found.halves.by_chance is found.halves.dropped_by_both is None
    assert found.sentence.startswith("Nothing is dropped, so that no text can change")
    assert "rank correlation 0." in found.sentence


def test_scores_that_all_tie_have_no_rank_correlation(found):
    ties = dataclasses.replace(found, halves=match(100, rho=(None, None)))
    assert ties.halves.mean_spearman is None
    assert ties.halves.worst_layer is ties.halves.worst_spearman is None
    assert "no rank correlation, since all scores are equal" in ties.sentence
    one = match(100, rho=(None, 0.7))
    assert (one.mean_spearman, one.worst_spearman, one.worst_layer) == (0.7, 0.7, 1)


def test_the_table_has_a_row_for_each_comparison(found):
    table = stability_table(found)
    assert table["compared"].tolist() == ["halves", "sizes", "sizes", "sizes"]
    assert table["n_tokens_other"].tolist() == [256, 64, 128, 256]
    assert table["dropped_by_both"].tolist() == [
        found.halves.dropped_by_both,
        *(m.dropped_by_both for m in found.sizes),
    ]
    assert table["moved"].iloc[0] == found.halves.moved


def test_the_table_that_is_read_spells_numbers_as_the_sentence_does(found):
    made = dataclasses.replace(found, halves=match(94, tokens=(1024, 1024)), sizes=())
    (row,) = shown_table(made).to_dict("records")
    assert row == {
        "Compared": "Two halves",
        "Tokens read": "1,024 and 1,024",
        "Dropped by both": "94 %",
        "The same by chance": "25 %",
        "Moved (chance: 100 %)": "8 %",
        "Rank correlation, mean": "0.850",
        "At worst": "0.800 (layer 1)",
    }
    assert len(shown_table(found)) == len(stability_table(found))


def test_the_table_that_is_read_says_nothing_where_nothing_is_known(found):
    ties = dataclasses.replace(found, halves=match(0, n=0, rho=(None, None)), sizes=())
    (row,) = shown_table(ties).to_dict("records")
    assert list(row.values())[2:] == ["–"] * 5


def test_the_same_text_over_and_over_is_enough(tiny, tmp_path):
    """Windows that are all alike: nothing can differ between any two parts."""
    path = tmp_path / "same.txt"
    path.write_text(TEXT[:31] + " " + (TEXT[:31] + " ") * 15)
    same = CalibrationSpec(calibration_text=str(path), samples=16, seq_len=32)
    found = stability(tiny, Experiment(tiny.spec, same, Method(LLMRank()), HALF))
    assert found.halves.dropped_by_both == 1
    assert found.halves.mean_spearman == pytest.approx(1)
    assert found.enough
    assert found.sentence.endswith("changes 0 % of it: enough.")


# --- how long it takes and how it stops ----------------------------------------------


def test_progress_counts_all_windows_and_then_the_scorings(tiny, calibration):
    told = []
    stability(
        tiny,
        Experiment(tiny.spec, calibration, Method(LLMRank()), HALF),
        progress=lambda *step: told.append(step),
    )
    reading = [(d, t) for what, d, t in told if what == "Calibrating"]
    n_batches = reading[-1][1]
    assert n_batches >= 4  # no batch has windows of two parts
    assert reading == [(done, n_batches) for done in range(n_batches + 1)]
    scoring = [step for step in told if step[0] == "Scoring parts of the text"]
    assert [done for _, done, _ in scoring] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("at", ["Calibrating", "Scoring parts of the text"])
def test_it_can_be_cancelled_while_reading_and_while_scoring(tiny, calibration, at):
    def stop(what, done, _):
        if what == at and done:
            raise CancelledError

    with pytest.raises(CancelledError):
        stability(
            tiny,
            Experiment(tiny.spec, calibration, Method(LLMRank()), HALF),
            progress=stop,
        )


# --- the real model ------------------------------------------------------------------


@pytest.mark.slow
def test_of_the_demo_model_more_text_agrees_better():
    """1,024 tokens are few: measured, halves share 57.1 %, 30 % by chance."""
    lm = llmrank.load(ModelSpec(device="cpu"))
    few = CalibrationSpec(samples=8, seq_len=128)
    found = stability(
        lm, Experiment(lm.spec, few, Method(LLMRank()), PruningSpec(sparsity=0.3))
    )
    assert found.halves.n_tokens == (512, 512)
    assert found.halves.agreement.total.n_a == 13_830
    assert 0.5 < found.halves.dropped_by_both < 0.65
    assert found.enough is False
    shares = [m.dropped_by_both for m in found.sizes]
    assert shares == sorted(shares)
    assert found.halves.by_chance == pytest.approx(0.3, abs=1e-3)
    means = [m.mean_spearman for m in found.sizes]
    assert means == sorted(means)
