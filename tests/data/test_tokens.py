"""From text to tokens: what stands in front, what is text, what the model can take."""

import dataclasses
import gc
import os
import weakref
from pathlib import Path

import pytest
import torch
from conftest import TEXT, tiny_model
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from llmrank.analysis.neuron import Neuron, firing
from llmrank.calibration.activations import CalibrationSpec, calibrate, drawn, measure
from llmrank.calibration.gradients import differentiate
from llmrank.core.errors import LLMRankError
from llmrank.data import texts, tokens
from llmrank.evaluation.accuracy import evaluate_task
from llmrank.evaluation.generation import continuation
from llmrank.evaluation.likelihood import log_likelihoods
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate, perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import environment
from llmrank.experiments.store.records import Origin, fingerprint
from llmrank.models.language_model import LanguageModel, ModelSpec, load

EOS, BOS = 256, 257


def lm_with(template="$A", *, positions=512, d_vocab=258, **spec):
    """A tiny llama whose tokenizer's post-processor writes texts like the template."""
    made = tiny_model(max_position_embeddings=positions, vocab_size=d_vocab)
    made.tokenizer.add_special_tokens({"bos_token": "<bos>"})
    made.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[("<bos>", BOS), ("<eos>", EOS)]
    )
    named = dataclasses.replace(made.spec, **spec)
    return LanguageModel(named, made.model, made.tokenizer)


HABITS = {
    "nothing": ("$A", ()),
    "bos": ("<bos> $A", (BOS,)),
    "bos and eos": ("<bos> $A <eos>", (BOS,)),
    "eos": ("$A <eos>", ()),
    "two": ("<eos> <bos> $A", (EOS, BOS)),
}


@pytest.fixture
def mill(tiny_text):
    return EvaluationSpec(eval_text=str(tiny_text), eval_tokens=1024)


# What stands before a text


@pytest.mark.parametrize(("template", "before"), HABITS.values(), ids=HABITS)
def test_what_the_tokenizer_puts_in_front_decides(template, before):
    lm = lm_with(template)
    assert tokens.opening(lm) == before
    assert (
        tokens.encoded(lm, "ab")
        == lm.tokenizer("ab", add_special_tokens=False)["input_ids"]
    )


@pytest.mark.parametrize(
    ("template", "bos", "before"),
    [
        ("$A", "always", (BOS,)),
        ("<bos> $A", "always", (BOS,)),
        ("<bos> $A", "never", ()),
        ("$A", "never", ()),
    ],
)
def test_the_visitor_may_decide_otherwise(template, bos, before):
    assert tokens.opening(lm_with(template, bos=bos)) == before


def test_bos_that_the_tokenizer_has_not_is_one_sentence():
    made = tiny_model()
    lm = dataclasses.replace(made, spec=dataclasses.replace(made.spec, bos="always"))
    with pytest.raises(LLMRankError, match=r"tiny-llama has no BOS .* auto or never"):
        tokens.opening(lm)


def test_each_window_begins_with_it_and_holds_the_same_text():
    bare, begun = lm_with(), lm_with("<bos> $A <eos>")
    text = texts.Text("here", TEXT[:300], "x")
    plain = texts.all_windows(bare, text, seq_len=32, at_least=1)
    windows = texts.all_windows(begun, text, seq_len=32, at_least=1)
    assert windows[:, 0].tolist() == [BOS] * 9
    assert torch.equal(windows[:, 1:], plain)


def test_all_that_reads_text_reads_it(tiny_text):
    """Counted at the embedding: the first token of every forward pass over a text."""
    lm, first = lm_with("<bos> $A"), []
    embedding = lm.model.get_input_embeddings()
    embedding.register_forward_hook(
        lambda _, ids, __: first.extend(ids[0].reshape(len(ids[0]), -1)[:, 0].tolist())
    )
    read = CalibrationSpec(calibration_text=str(tiny_text), samples=2, seq_len=16)
    for work in (
        lambda: calibrate(lm, read),
        lambda: differentiate(lm, read),
        lambda: firing(lm, read, [Neuron(0, 0)]),
        lambda: evaluate(lm, EvaluationSpec(str(tiny_text), 1024)),
        lambda: log_likelihoods(lm, [("a mill", " turns")]),
        lambda: continuation(lm, "a mill", new_tokens=1),
    ):
        first.clear()
        work()
        assert set(first) == {BOS}


def test_with_it_the_same_tokens_are_predicted(mill, tiny_text):
    """By hand: BOS and 512 tokens are read, the last 511 predicted."""
    lm = lm_with("<bos> $A", positions=1024)
    found = evaluate(lm, mill)
    assert (found.seq_len, found.bos, found.n_tokens) == (512, "<bos>", 1024)
    ids = lm.tokenizer(tiny_text.read_text("utf-8")[:1024], add_special_tokens=False)
    for window, nll in enumerate(found.nll):
        own = torch.tensor(ids["input_ids"][512 * window : 512 * (window + 1)])
        logits = (
            lm.model(torch.cat([torch.tensor([BOS]), own])[None]).logits[0].double()
        )
        expected = -logits.log_softmax(-1)[1:-1].gather(1, own[1:, None]).mean()
        assert float(nll) == pytest.approx(float(expected), rel=1e-5)


def test_the_gradients_are_of_the_same_predictions(tiny_text):
    """By hand, for one neuron: the change that zeroing its row of `up` would make."""
    lm = lm_with("<bos> $A")
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=1, seq_len=16)
    (ids,) = drawn(lm, spec)[1]
    twin = tiny_model(vocab_size=258)
    weight = twin.model.model.layers[0].mlp.up_proj.weight.requires_grad_()
    logits = twin.model(ids[None]).logits[0, 1:-1]
    loss = torch.nn.functional.cross_entropy(logits, ids[2:])
    (gradient,) = torch.autograd.grad(loss, weight)
    expected = (gradient * weight).sum(1)
    up = differentiate(lm, spec).layers[0].up
    torch.testing.assert_close(up.change, expected.detach(), rtol=1e-3, atol=1e-5)


def test_statistics_are_over_its_position_too(tiny_text):
    lm = lm_with("<bos> $A")
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=3, seq_len=16)
    windows = drawn(lm, spec)[1]
    found = calibrate(lm, spec)
    assert found.n_tokens == windows.numel() == 3 * 17
    expected = measure(lm, windows)
    assert torch.equal(found.layers[1].neuron_norm, expected[1].neuron_norm)


def test_a_model_without_it_is_not_paired_with_one_that_has_it(mill):
    found = [evaluate(lm_with(t, positions=1024), mill) for t in ("$A", "<bos> $A")]
    assert found[0].nll.tolist() != found[1].nll.tolist()
    with pytest.raises(LLMRankError, match="not in the same windows"):
        perplexity_ratio(*found)


# What is text


def test_a_control_token_that_a_text_quotes_is_text_unless_asked():
    quoted = "ends with <bos> or <eos>."
    read = {way: lm_with(control_tokens=way) for way in ("text", "control")}
    ids = {way: tokens.encoded(lm, quoted) for way, lm in read.items()}
    assert not {BOS, EOS} & set(ids["text"])
    assert read["text"].tokenizer.decode(ids["text"]) == quoted
    assert {BOS, EOS} < set(ids["control"])


@pytest.mark.parametrize(
    "token",
    ["\n\n", "    ", "▁▁", "mill", "->", "<>", "[[", "<=>", "a<b>", "</table>", "<s>"],
)
def test_added_tokens_that_control_nothing_stay_one_token(token):
    lm = lm_with()
    lm.tokenizer.add_tokens([AddedToken(token, special=False)])
    assert tokens._ids(lm, f"A{token}B", add_special_tokens=False)[1] == 258


QUOTED = ("<|im_end|>", "<think>", "</tool_call>", "[INST]", "<｜User｜>", "<unused5>")


@pytest.mark.parametrize("token", QUOTED)
@pytest.mark.parametrize("special", [True, False])
def test_a_quoted_control_token_is_text_whatever_it_is_marked_as(token, special):
    """Those of a GGUF that its file calls USER_DEFINED are never marked as special."""
    lm = lm_with("<bos> $A")
    lm.tokenizer.add_tokens([AddedToken(token, special=special)])
    lm.tokenizer.add_tokens([AddedToken("\n\n", special=False)])
    text = f"It\n\nends with {token} here."
    ids = tokens._ids(lm, text, add_special_tokens=True)
    assert 258 not in ids
    assert ids.count(259) == 1
    assert lm.tokenizer.decode(ids[1:]) == text
    assert tokens.opening(lm) == (BOS,)
    asked = dataclasses.replace(
        lm, spec=dataclasses.replace(lm.spec, control_tokens="control")
    )
    assert tokens._ids(asked, text, add_special_tokens=False).count(258) == 1
    assert len(lm.tokenizer.added_tokens_decoder) == 4
    assert lm.tokenizer(token, add_special_tokens=False)["input_ids"] == [258]


def test_a_token_that_is_added_later_is_text_too():
    lm = lm_with()
    for n, token in enumerate(QUOTED):
        lm.tokenizer.add_tokens([AddedToken(token, special=False)])
        assert 258 + n not in tokens._ids(lm, token, add_special_tokens=False)


def test_a_tokenizer_that_is_let_go_leaves_no_twin():
    lm = lm_with()
    lm.tokenizer.add_tokens([AddedToken("<think>", special=False)])
    tokens._ids(lm, "a", add_special_tokens=False)
    assert lm.tokenizer in tokens._readers
    alive = weakref.ref(lm.tokenizer)
    del lm
    gc.collect()
    assert alive() is None


# What the model can take


def test_a_token_beyond_the_embedding_is_one_sentence_before_anything_runs(tiny_text):
    lm = lm_with("<bos> $A", d_vocab=100)
    lm.model.register_forward_pre_hook(lambda *_: pytest.fail("it ran"))
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=1, seq_len=16)
    said = r"tokenizer of tiny-llama gives token \d+ .* has embeddings for 100; the two"
    for work in (
        lambda: calibrate(lm, spec),
        lambda: differentiate(lm, spec),
        lambda: evaluate(lm, EvaluationSpec(str(tiny_text), 1024)),
        lambda: log_likelihoods(lm, [("a mill", " turns")]),
        lambda: continuation(lm, "zzz"),
    ):
        with pytest.raises(LLMRankError, match=said):
            work()


@pytest.mark.parametrize(
    ("template", "positions", "size"),
    [("$A", 256, 256), ("<bos> $A", 256, 255), ("$A", 2, 2), ("<bos> $A", 600, 512)],
)
def test_windows_follow_a_model_of_short_context(tiny_text, template, positions, size):
    lm = lm_with(template, positions=positions)
    longest = []
    lm.model.get_input_embeddings().register_forward_hook(
        lambda _, ids, __: longest.append(ids[0].shape[-1])
    )
    found = evaluate(lm, EvaluationSpec(str(tiny_text), 1024))
    assert found.seq_len == size
    assert found.n_tokens == 1024 // size * size
    assert max(longest) <= positions
    calibrate(lm, CalibrationSpec(str(tiny_text), samples=2, seq_len=512))
    continuation(lm, "a", new_tokens=min(40, size - 1))
    assert max(longest) <= positions


def test_a_model_without_room_for_two_tokens_is_refused(mill):
    with pytest.raises(LLMRankError, match="has 2 positions, which are too few"):
        evaluate(lm_with("<bos> $A", positions=2), mill)


def test_a_prompt_leaves_half_of_a_short_context_to_what_is_written():
    lm = lm_with(positions=32)
    continuation(lm, "x" * 16, new_tokens=40)
    with pytest.raises(LLMRankError, match=r"1 to 16 tokens \(for 16 new ones\)"):
        continuation(lm, "x" * 17, new_tokens=40)


def test_a_task_is_asked_of_a_short_model_as_far_as_it_goes():
    found = evaluate_task(lm_with("<bos> $A", positions=64), "piqa", n_items=20)
    assert found.n_left_out > 0
    assert found.n_items + found.n_left_out == 20


# What is said of it


def test_the_environment_names_what_the_recipe_leaves_open():
    usual = CalibrationSpec()
    assert not {"bos", "seq_len"} & environment(lm_with(), usual).keys()
    where = environment(lm_with("<bos> $A", positions=128), usual)
    assert (where["bos"], where["seq_len"]) == ("<bos>", "127")


def test_a_recipe_from_before_the_choice_is_the_same_run_if_nothing_was_put_before():
    recipe = Experiment().to_json()
    older = recipe | {
        "model": {
            k: v
            for k, v in recipe["model"].items()
            if k not in ("bos", "control_tokens")
        }
    }
    bare, begun = (Origin("a", "b", where) for where in ({}, {"bos": "<bos>"}))
    assert fingerprint(older, bare) == fingerprint(recipe, bare)
    assert fingerprint(older, bare) != fingerprint(recipe, begun)
    chosen = recipe | {"model": recipe["model"] | {"bos": "never"}}
    assert fingerprint(older, bare) != fingerprint(chosen, bare)
    assert Experiment.from_json(older) == Experiment()


# A real model that needs it

GEMMA = os.environ.get("LLMRANK_GEMMA", "")


@pytest.mark.slow
@pytest.mark.skipif(not GEMMA, reason="LLMRANK_GEMMA names no Gemma 3 270M (.gguf)")
def test_gemma_reads_as_it_was_trained():
    """17.8 on 1,022 targets; 44.1 without BOS, as a plain forward pass gives too."""
    lm = load(ModelSpec(name=str(Path(GEMMA)), device="cpu"))
    spec = EvaluationSpec(eval_tokens=1024)
    found = evaluate(lm, spec)
    assert (found.bos, found.seq_len) == ("<bos>", 512)
    assert found.perplexity.value == pytest.approx(17.8, abs=0.05)
    never = dataclasses.replace(lm, spec=dataclasses.replace(lm.spec, bos="never"))
    assert evaluate(never, spec).perplexity.value == pytest.approx(44.1, abs=0.05)
    assert 105 not in tokens.encoded(lm, "It says <start_of_turn> here.")
