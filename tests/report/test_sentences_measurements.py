"""Dense beside pruned in words and tables, by hand-made measurements."""

import dataclasses

import pytest
import torch

from llmrank.evaluation.accuracy import TaskResult, TaskSpec
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import Footprint, footprint
from llmrank.evaluation.latency import Latency, Timing
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.experiments.arena import Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import checks
from llmrank.experiments.run import Report
from llmrank.experiments.store import Run, RunSpec
from llmrank.methods.criteria import L1, Random, Wanda
from llmrank.methods.recovery import Distillation
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel
from llmrank.report.sentences import measurements as readings
from llmrank.report.tables import comparison
from llmrank.report.tables.comparison import Cell


def text(nll, correct):
    double = torch.float64
    return TextEvaluation(
        torch.tensor(nll, dtype=double),
        torch.tensor(correct, dtype=double),
        "a mill",
        "x",
    )


def task(name, correct, correct_norm=None, chance=0.5):
    right = torch.tensor(correct)
    norm = right if correct_norm is None else torch.tensor(correct_norm)
    return TaskResult(
        name, right, norm, torch.full((len(right),), chance), torch.arange(len(right))
    )


def latency(prefill, decode):
    return Latency(
        prefill=Timing(tuple(prefill), 2),
        decode=Timing(tuple(decode), 2),
        batch=1,
        prompt_tokens=64,
        new_tokens=2,
        device="cpu",
        dtype="float32",
        processor="An Abacus",
        n_threads=2,
        torch_version="2.13.0",
        measured_at="2026-01-02T03:04:05+00:00",
    )


RATIO = Ratio(1.25, 1.125, 1.375, ideal=1.5, attainable=1.3, n_rounds=2)


@pytest.fixture(scope="module")
def sizes(tiny):
    keep = (torch.arange(12), torch.arange(12))
    pruned = LanguageModel(tiny.spec, ffn.cut(tiny.model, keep), tiny.tokenizer)
    return footprint(tiny), footprint(pruned)


@pytest.fixture
def nothing(sizes):
    """Both models are there, and nothing is measured yet."""
    return Comparison(Side(sizes[0]), Side(sizes[1]))


@pytest.fixture
def found(sizes):
    dense = Side(
        sizes[0],
        text([1.0, 1.2, 1.1], [0.5, 0.5, 0.5]),
        (task("piqa", [1.0, 1.0, 1.0, 0.0]), task("boolq", [1.0, 0.0, 1.0, 1.0])),
        latency([100.0, 110.0], [10.0, 11.0, 12.0, 13.0]),
        MemoryPeak(1_000_000, 9_000_000, "child process"),
    )
    pruned = Side(
        sizes[1],
        text([1.1, 1.3, 1.2], [0.4, 0.4, 0.4]),
        (task("piqa", [1.0, 1.0, 1.0, 1.0]), task("boolq", [1.0, 0.0, 0.0, 1.0])),
        latency([80.0, 90.0], [8.0, 9.0, 10.0, 11.0]),
        MemoryPeak(1_000_000, 7_000_000, "child process"),
    )
    return Comparison(dense, pruned, Speedup(RATIO, RATIO, ("Because.",)))


def by_name(found):
    return {x.name: x for x in comparison.lines(found)}


def test_the_blank_picture_is_the_one_that_fills(nothing):
    pairs = comparison.pairs(nothing)
    assert [b.title for b in comparison.BLANK] == [p.title for p in pairs]
    assert all((b.dense, b.pruned) == (None, None) for b in comparison.BLANK)
    assert [p.dense is None for p in pairs] == [True, True, False, True, True]
    untimed = pairs[: comparison.N_UNTIMED]
    assert [p.title for p in untimed if "ms" in p.title] == []


def test_quality_size_and_speed_are_paired_with_what_changed(found, sizes):
    perplexity, top1, size, writing, reading = comparison.pairs(found)
    assert (perplexity.dense, perplexity.pruned) == (
        found.dense.text.perplexity,
        found.pruned.text.perplexity,
    )
    assert perplexity.change == Cell("×1.11", "of dense [1.11, 1.11]")
    assert top1.dense.value == 50  # per cent, as the title says
    assert top1.pruned.high == 100 * found.pruned.text.top1.high
    assert top1.change.value == "80.0 %"
    assert top1.change.spread.startswith("kept [")
    assert (perplexity.lower_is_better, top1.lower_is_better) == (True, False)
    assert size.pruned.value == sizes[1].weight_bytes / 1e6
    assert size.change.value.startswith("−")
    assert writing.dense.value == found.dense.latency.decode.median == 11.5
    assert writing.dense.low < 10.5 < 12.5 < writing.dense.high  # both rounds' medians
    assert reading.pruned.value == found.pruned.latency.prefill.median == 85
    assert writing.change == Cell(
        "×1.25", "as fast [1.12, 1.38]\nmedian of paired rounds"
    )
    table = comparison.pairs_table((perplexity, comparison.Pair("nothing")))
    values = [perplexity.dense.value, perplexity.pruned.value]
    assert table["value"].tolist() == values


@pytest.mark.parametrize("ours", [True, False])
def test_what_stands_in_until_it_is_measured_is_named(found, ours):
    hand = Experiment().at(0.4)
    shown = Report(hand.at(0.3), {}, "x", dataclasses.replace(found, speedup=None))
    said = readings.elsewhere_sentence(shown, hand, ours=ours)
    assert said.startswith("**Not measured here yet**, so the dots are hollow")
    assert ("shipped" in said) == ours
    assert "30 % removed instead of 40 %" in said
    assert "calibrated" not in said


def entry_of(run_id, criterion, nll, start=0, n_windows=20):
    """A run at 30 % that read so many nats a window; dense read one."""
    windows = torch.tensor([1.0, 1.2] * 10, dtype=torch.float64)
    both = [windows + start, windows + start + torch.tensor(nll * 10)]
    read = [nats[:n_windows] for nats in both]
    sizes = Footprint(100, 5, 40, (20,), 9, 9, 9, 9, 9)
    texts = [TextEvaluation(nats, nats, "a text", f"sha {start}") for nats in read]
    comparison = Comparison(*(Side(sizes, text=text) for text in texts))
    recipe = Experiment().using(criterion=criterion).at(0.3).to_json()
    ratio = comparison.perplexity_ratio
    spec = RunSpec(recipe, 0, ("text",))
    return Entry(Run(run_id, "done", "", spec, None, "now", ratio=ratio), comparison)


def test_the_lowest_perplexity_is_said_only_where_it_can_be_told():
    low = entry_of("a", Wanda(), [0.2, 0.6])
    paired = entry_of("b", L1(), [0.22, 0.62])  # the intervals overlap
    elsewhere = entry_of("c", Random(), [0.22, 0.62], start=1)  # other windows
    alone = readings.runs_sentence([low], ())
    assert "At 30 % removed only **wanda** (×1.49 [" in alone
    said = readings.runs_sentence([paired, low], ())
    assert said.startswith("At 30 % removed **wanda** (×1.49 [")
    assert said.endswith("has the lowest perplexity over dense.")
    said = readings.runs_sentence([elsewhere, low, paired], ["a", "b"])
    assert "the lowest perplexity over dense cannot be told: **wanda** (" in said
    assert "shipped) or **random** (×1.52 [" in said
    far = entry_of("d", Random(), [1.2, 1.6], start=1)
    said = readings.runs_sentence([far, low, paired], ["a", "b"])
    assert "shipped) has the lowest perplexity over dense; of what only you " in said
    assert "measured **random**" in said


def test_a_shorter_reading_is_told_to_agree_or_not_and_several_are_counted():
    def read(run, n_tokens):
        evaluation = run.spec.recipe["evaluation"] | {"eval_tokens": n_tokens}
        recipe = run.spec.recipe | {"evaluation": evaluation}
        return dataclasses.replace(run, spec=RunSpec(recipe, 0, ("text",)))

    alike = read(entry_of("a", Wanda(), [0.2, 0.6]).run, 4096)
    apart = read(entry_of("b", Wanda(), [1.2, 1.6]).run, 4096)
    new = read(entry_of("c", L1(), [0.2, 0.6]).run, 4096)
    ours = read(entry_of("d", Wanda(), [0.22, 0.62]).run, 16384)
    own = [alike, apart, new]
    twins = checks(own, [ours])
    assert twins == {"a": ours, "b": ours}  # nobody else has read the third
    said = readings.checks_sentence([alike, new], twins)
    assert said.startswith("Your reading of wanda at 30 % on 4,096 tokens (×1.49 [")
    assert "]) agrees with ours (×1.52 [" in said
    assert said.endswith("], 16,384).")
    assert "**does not agree**" in readings.checks_sentence([apart], twins)
    counted = "Of your 2 shorter readings 1 agrees with ours."
    assert readings.checks_sentence(own, twins) == counted
    assert readings.checks_sentence([new], twins) == ""


def test_a_shorter_reading_is_told_by_the_windows_that_both_have_read():
    low = entry_of("a", Wanda(), [0.2, 0.6])
    fewer = entry_of("b", L1(), [0.22, 0.62], n_windows=8)  # paired it is worse
    assert fewer.figures["perplexity_ratio"].low < low.figures["perplexity_ratio"].high
    said = readings.runs_sentence([fewer, low], ())
    assert said.startswith("At 30 % removed **wanda** (×1.49 [")
    assert "has the lowest perplexity over dense" in said
    alike = entry_of("c", Random(), [0.23, 0.58], n_windows=8)
    assert "cannot be told" in readings.runs_sentence([alike, low], ())


def test_sizes_are_there_before_anything_is_measured(nothing, sizes):
    shown = by_name(nothing)
    assert shown["FFN neurons"].dense == Cell("48")
    assert shown["FFN neurons"].change == Cell("−50 %")
    assert shown["Parameters"].pruned == Cell(f"{sizes[1].n_params:,}")
    assert shown["Perplexity"] == comparison.Line("Perplexity")
    assert shown["Peak memory"] == comparison.Line("Peak memory")


def test_perplexity_stands_beside_its_paired_ratio(found):
    """Every window is 0.1 nats worse: e^1.1 = 3.00, e^1.2 = 3.32, ratio e^0.1."""
    line = by_name(found)["Perplexity"]
    assert (line.dense.value, line.pruned.value) == ("3.00", "3.32")
    assert line.change == Cell("×1.11", "[1.11, 1.11]")
    assert line.dense.spread == "[2.34, 3.85]"  # 1.1 ± 4.303 · 0.1/√3


def test_top1_accuracy_is_kept_in_part(found):
    line = by_name(found)["Top-1 accuracy"]
    assert (line.dense.value, line.pruned.value) == ("50.0 %", "40.0 %")
    assert line.change.value == "80.0 % kept"


def test_one_window_has_no_interval(nothing):
    """While the first window alone is read there is a value and no spread."""
    dense = dataclasses.replace(nothing.dense, text=text([1.0], [0.5]))
    shown = by_name(dataclasses.replace(nothing, dense=dense))
    assert shown["Perplexity"].dense == Cell("2.72")
    assert shown["Top-1 accuracy"].dense == Cell("50.0 %")
    assert shown["Perplexity"].change == Cell("–")


def test_tasks_are_kept_plain_and_above_chance(found):
    """BoolQ: 3 of 4 dense, 2 of 4 pruned, guessing 2 of 4; piqa gains one."""
    shown = by_name(found)
    boolq = shown["boolq (guessing 50 %)"]
    assert boolq.dense == Cell("75 %", "± 25")
    assert boolq.change.value == "66.7 % kept"
    assert boolq.change.spread.startswith("0 % above chance; -25 [")
    piqa = shown["piqa, by length"]
    assert piqa.change.value == "133 % kept"
    assert "200 % above chance; +25 [" in piqa.change.spread


def test_a_dense_model_at_chance_leaves_a_note(nothing):
    dense = dataclasses.replace(nothing.dense, tasks=(task("piqa", [1.0, 0.0]),))
    pruned = dataclasses.replace(nothing.pruned, tasks=(task("piqa", [0.0, 0.0]),))
    kept = by_name(Comparison(dense, pruned))["piqa (guessing 50 %)"].change
    assert "above chance;" not in kept.spread
    assert "not above chance" in kept.spread
    assert "-50 [" in kept.value + kept.spread


def test_a_task_asked_of_one_side_waits_for_the_other(nothing):
    dense = dataclasses.replace(nothing.dense, tasks=(task("piqa", [1.0, 0.0]),))
    line = by_name(dataclasses.replace(nothing, dense=dense))["piqa (guessing 50 %)"]
    assert line.dense.value == "50 %"
    assert (line.pruned, line.change) == (Cell(), Cell())


def test_times_stand_beside_the_ideal(found):
    line = by_name(found)["Writing a token (decode)"]
    assert line.dense == Cell("11.5 ms", "(9 in 10 within 12.7)")
    assert line.pruned == Cell("9.50 ms", "(9 in 10 within 10.7)")
    assert line.change == Cell("×1.25 as fast", "[1.12, 1.38]; ideal ×1.50")


def test_memory_is_what_the_model_needed(found):
    line = by_name(found)["Peak memory"]
    assert (line.dense.value, line.pruned.value) == ("8.00 MB", "6.00 MB")
    assert line.change.value == "−25 %"


def test_origins_name_data_seed_machine_and_time(found, nothing):
    e = Experiment(tasks=TaskSpec(tasks="piqa", items=4, items_seed=3))
    said = "\n".join(readings.origins(Report(e, {}, "x", found)))
    for part in (
        "1,536 tokens of a mill", "windows of 512",
        "64 × 256 calibration tokens, seed 0", "up to 4 items", "seed 3", "float32",
        "An Abacus (cpu, 2 threads",
        "batch 1, 64 tokens read, 2 written", "2 rounds", "2026-01-02T03:04:05",
        "child process",
    ):  # fmt: skip
        assert part in said
    few = readings.origins(Report(e, {}, "x", nothing))
    assert [line.partition(":")[0] for line in few] == ["Text", "Sizes"]
    trained = e.using(recovery=Distillation(minutes=5.0))
    _, how, _ = readings.origins(
        Report(trained, {"recovery": "512 tokens"}, "x", nothing)
    )
    assert how == "Recovery (distil 5 min): 512 tokens."


def test_one_thread_and_many_tokens_are_written_as_such(found):
    timed = dataclasses.replace(
        found.dense.latency, n_threads=1, prompt_tokens=28748, batch=1024
    )
    said = readings.clock_sentence(timed)
    assert "(cpu, 1 thread, float32" in said
    assert "batch 1,024, 28,748 tokens read" in said


def test_the_reading_of_timings_has_medians_and_ninetieths(found):
    assert readings.latency_sentence(found, "prefill") == (
        "Half of the time a prompt is read within 85.0 ms pruned and 105 ms dense; "
        "nine times in ten within 89.0 and 109 ms."
    )


def test_the_table_of_timings_has_every_sample_in_its_round(found):
    table = readings.samples_table(found, "decode")
    pruned = table[table["side"] == "pruned"]
    assert list(pruned["ms"]) == [8, 9, 10, 11]
    assert list(pruned["round"]) == [0, 0, 1, 1]


def test_the_reading_of_tasks_names_most_and_least(found, nothing):
    said = readings.retention_sentence(found)
    assert "133 % of dense accuracy on piqa, the most, and 66.7 % on boolq" in said
    wrong = Side(nothing.dense.footprint, tasks=(task("piqa", [0.0, 0.0]),))
    assert "nothing to keep" in readings.retention_sentence(Comparison(wrong, wrong))


def test_the_table_of_tasks_is_what_the_chart_draws(found):
    table = readings.tasks_table(found)
    assert list(table["task"]) == ["piqa", "boolq", "piqa", "boolq"]
    assert list(table["side"]) == ["dense", "dense", "pruned", "pruned"]
    assert list(table["acc"]) == [0.75, 0.75, 1.0, 0.5]
    assert list(table["chance"]) == [0.5] * 4
