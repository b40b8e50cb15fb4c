"""Recoveries: what every one keeps, and that a distilled model is nearer to dense."""

import copy
import dataclasses
import json
import math
import sys

import pytest
import torch
from conftest import tiny_model

from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.methods import recovery
from llmrank.methods.criteria import Wanda, score
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.recovery import (
    RECOVERIES,
    Distillation,
    LoRA,
    NoRecovery,
    RecoveryInputs,
    teacher,
    training,
)
from llmrank.methods.recovery.head import Head, following, last_hidden
from llmrank.models import ffn
from llmrank.models.families import SUPPORTED

QUICK = {"train_tokens": 4096, "lr": 1e-2}


def windows(n: int, seed: int, seq_len: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, seq_len), generator=generator)


def half_of(lm):
    """Cut half the neurons, at random places."""
    keep = [torch.arange(0, width, 2) for width in ffn.widths(lm.model)]
    return dataclasses.replace(lm, model=ffn.cut(lm.model, keep))


@pytest.fixture(scope="module")
def inputs(tiny):
    return RecoveryInputs(
        tiny, windows(32, 1), {"a": windows(8, 2), "b": windows(4, 3)}
    )


@pytest.fixture
def float32(monkeypatch):
    """Nothing is multiplied in less, so that another road gives the same."""
    monkeypatch.setattr(teacher, "reduces_to_bfloat16", lambda _: False)


def weights(lm) -> dict[str, torch.Tensor]:
    return {name: w.clone() for name, w in lm.model.state_dict().items()}


@pytest.mark.parametrize("name", tuple(RECOVERIES))
def test_no_recovery_changes_dense_or_what_was_pruned(tiny, inputs, name):
    pruned = half_of(tiny)
    before = weights(tiny), weights(pruned)
    fields = QUICK if name != "none" else {}
    done = RECOVERIES.build(name, **fields).recover(pruned, inputs)
    for lm, old in zip((tiny, pruned), before, strict=True):
        assert all(torch.equal(w, old[n]) for n, w in lm.model.state_dict().items())
        assert not any(w.requires_grad for w in lm.model.parameters())
    assert ffn.widths(done.model.model) == ffn.widths(pruned.model)
    assert not any(w.requires_grad for w in done.model.model.parameters())


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_the_divergence_by_rows_is_that_of_the_whole_logits(model_type):
    """By another road: autograd through the model's own forward, in every family."""
    lm = tiny_model(model_type)
    pruned = half_of(lm)
    ids = windows(3, 3, 50)
    reached = last_hidden(pruned.model, ids).detach().requires_grad_()
    wanted = last_hidden(lm.model, ids).flatten(0, 1)
    targets = following(ids)
    read, gradient = Head(lm.model).gradient(wanted, reached.flatten(0, 1), targets)
    dense, own = (
        m.model(ids, use_cache=False).logits.log_softmax(-1) for m in (lm, pruned)
    )
    whole = (dense.exp() * (dense - own)).sum(-1).mean()
    assert read.divergence == pytest.approx(float(whole), rel=1e-4, abs=1e-6)
    for told, mean in ((dense, read.dense_nll), (own, read.pruned_nll)):
        came = -told[:, :-1].gather(-1, ids[:, 1:, None]).mean()
        assert mean == pytest.approx(float(came), rel=1e-4)

    nudge = 1e-2 * torch.randn(
        reached.shape, generator=torch.Generator().manual_seed(0)
    )
    head = Head(lm.model)
    moved = [(reached.detach() + side * nudge).flatten(0, 1) for side in (0.5, -0.5)]
    ends = [head.reading(wanted, there, targets).divergence for there in moved]
    slope = float((gradient.view_as(nudge) * nudge).sum())
    assert slope == pytest.approx(ends[0] - ends[1], rel=2e-2, abs=1e-6)


@pytest.mark.usefixtures("float32")
def test_a_distilled_model_is_nearer_to_dense_on_what_it_has_not_seen(tiny, inputs):
    pruned = half_of(tiny)
    done = Distillation(**QUICK).recover(pruned, inputs)
    first, *steps = done.curve
    assert first.n_tokens == 0
    assert first.batch is None
    assert done.best.divergence < 0.8 * first.divergence
    lost = [moment.batch.divergence for moment in steps]
    assert sum(lost[-16:]) < sum(lost[:16])
    head, ids = Head(tiny.model), inputs.held_out["a"]
    both = [last_hidden(m.model, ids).flatten(0, 1) for m in (tiny, done.model)]
    read = head.reading(*both, following(ids))
    assert dataclasses.astuple(read) == pytest.approx(
        dataclasses.astuple(done.best.held_out["a"]), rel=1e-4
    )


@pytest.mark.usefixtures("float32")
def test_of_twice_as_many_windows_those_are_trained_on_that_differ_most(tiny, inputs):
    pruned = half_of(tiny)
    head, ids = Head(tiny.model), inputs.windows
    apart = []
    for one in ids.split(1):
        both = [last_hidden(m.model, one).flatten(0, 1) for m in (tiny, pruned)]
        apart.append(head.reading(*both, following(one)).divergence)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
    first = sorted(apart[i] for i in order[:4].tolist())
    for pick, wanted in (("divergent", first[2:]), ("random", None)):
        spec = Distillation(train_tokens=64, pick=pick)
        read = spec.recover(pruned, inputs).curve[1].batch.divergence
        if wanted is None:
            wanted = [apart[i] for i in order[:2].tolist()]
        assert read == pytest.approx(sum(wanted) / 2, rel=1e-4)
    assert sum(first[2:]) > sum(wanted)


def test_bfloat16_products_reach_about_the_same(tiny, inputs, monkeypatch):
    ends = []
    for fast in (False, True):
        monkeypatch.setattr(teacher, "reduces_to_bfloat16", lambda _, f=fast: f)
        done = Distillation(**QUICK).recover(half_of(tiny), inputs)
        assert {w.dtype for w in done.model.model.parameters()} == {torch.float32}
        ends.append(done.best.divergence)
    assert ends[1] == pytest.approx(ends[0], rel=0.1)
    assert ends[1] != ends[0]


def test_half_precision_is_trained_in_single_and_given_back_in_half(tiny, inputs):
    half = dataclasses.replace(tiny, model=copy.deepcopy(tiny.model).to(torch.bfloat16))
    pruned = half_of(half)
    own = dataclasses.replace(inputs, dense=half)
    done = Distillation(**QUICK | {"lr": 1e-3}).recover(pruned, own)
    assert {w.dtype for w in done.model.model.parameters()} == {torch.bfloat16}
    assert {w.dtype for w in pruned.model.parameters()} == {torch.bfloat16}
    assert done.best.divergence < done.curve[0].divergence


def test_only_what_is_asked_for_is_trained(tiny, inputs):
    pruned = half_of(tiny)
    for trained, parts in {
        "ffn": ("mlp",),
        "ffn+norms": ("mlp", "norm"),
        "ffn+norms+attention": ("mlp", "norm", "attn"),
    }.items():
        done = Distillation(**QUICK, trained=trained).recover(pruned, inputs)
        old = pruned.model.state_dict()
        changed = {
            name
            for name, weight in done.model.model.state_dict().items()
            if not torch.equal(weight, old[name])
        }
        assert changed
        inside = {n for n in old if n.startswith("model.layers.")}
        assert changed == {n for n in inside if any(part in n for part in parts)}


def test_the_budget_of_tokens_is_kept_and_the_order_follows_the_seed(tiny, inputs):
    pruned = half_of(tiny)
    spec = Distillation(train_tokens=640)
    once, again = (spec.recover(pruned, inputs) for _ in range(2))
    assert once.curve[-1].n_tokens == 640
    assert [m.batch for m in once.curve] == [m.batch for m in again.curve]
    other = dataclasses.replace(spec, seed=1).recover(pruned, inputs)
    assert other.curve[-1].held_out != once.curve[-1].held_out


def test_the_clock_ends_it_too(tiny, inputs):
    done = Distillation(minutes=0.1).recover(half_of(tiny), inputs)
    assert 5 < done.curve[-1].elapsed_s < 30
    assert done.curve[-1].n_tokens < 10**7


def test_enough_keeps_the_best_so_far_and_a_stop_ends_it(tiny, inputs):
    pruned, moments = half_of(tiny), []
    done = Distillation(**QUICK).recover(
        pruned, inputs, publish=moments.append, enough=lambda: len(moments) >= 3
    )
    assert len(done.curve) == 4
    assert done.curve[-1].held_out  # read once more, to be told
    assert done.ended == "stopped by hand"
    assert done.best in done.curve

    def stop(*_):
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        Distillation(**QUICK).recover(pruned, inputs, progress=stop)


def test_what_cannot_be_trained_is_one_sentence(tiny, inputs):
    pruned = half_of(tiny)
    with pytest.raises(OptionError, match="minutes must lie in"):
        Distillation(minutes=0.0)
    with pytest.raises(OptionError, match="minutes must lie in"):
        Distillation(minutes=365 * 24 * 60.0)
    few = dataclasses.replace(inputs, windows=inputs.windows[:1])
    with pytest.raises(LLMRankError, match="give a longer text"):
        Distillation(**QUICK).recover(pruned, few)
    with pytest.raises(LLMRankError, match="no longer finite"):
        Distillation(**QUICK | {"lr": 0.1, "train_tokens": 10**6}).recover(
            dataclasses.replace(pruned, model=_broken(pruned.model)), inputs
        )


def _broken(model):
    other = ffn.shared_copy(model)
    (first, *_) = ffn.projections(other)
    ffn.layers.install(first.down, ffn.ffns(model)[0].down * float("nan"), None)
    return other


def test_none_is_none(tiny, inputs):
    pruned = half_of(tiny)
    assert NoRecovery().recover(pruned, inputs).model is pruned
    assert recovery.recovery("none") == NoRecovery()


def test_a_repaired_model_recovers_further(tiny, tiny_text, inputs):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=4, seq_len=32)
    stats = calibrate(tiny, spec)
    kept = plan(score(tiny, stats, Wanda()), PruningSpec(sparsity=0.5))
    pruned = prune(tiny, kept)
    done = Distillation(**QUICK).recover(pruned, inputs)
    assert done.best.divergence < done.curve[0].divergence


class Memory:
    """Keeps in memory what a training writes, as a file would."""

    def __init__(self):
        self.kept, self.n_written = None, 0

    def read(self):
        return copy.deepcopy(self.kept)

    def beside(self, name):
        raise NotImplementedError

    def write(self, plain, tensors):
        self.kept = json.loads(json.dumps(plain)), copy.deepcopy(tensors)
        self.n_written += 1


def test_a_killed_training_goes_on_to_the_same_end(tiny, inputs, monkeypatch):
    monkeypatch.setattr(training, "KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(training, "KEPT_SHARE", 1e9)
    pruned = half_of(tiny)
    spec = Distillation(**QUICK)
    whole = spec.recover(pruned, inputs)
    memory = Memory()
    kept = dataclasses.replace(inputs, kept=memory)

    class Killed(BaseException):
        pass

    def die(moment):
        if moment.n_tokens == 2048:
            raise Killed

    with pytest.raises(Killed):
        spec.recover(pruned, kept, publish=die)
    assert not memory.kept[0]["done"]
    moments = []
    resumed = spec.recover(pruned, kept, publish=moments.append)
    assert tuple(moments) == resumed.curve
    assert not math.isclose(moments[-1].elapsed_s, whole.curve[-1].elapsed_s)
    assert [m.batch for m in resumed.curve] == [m.batch for m in whole.curve]
    for one, other in zip(*map(weights_of, (resumed, whole)), strict=True):
        assert torch.equal(one, other)

    again = spec.recover(pruned, kept, publish=pytest.fail)  # nothing is trained
    assert [m.batch for m in again.curve] == [m.batch for m in whole.curve]
    assert all(map(torch.equal, weights_of(again), weights_of(whole)))


def weights_of(done):
    return list(done.model.model.state_dict().values())


def test_what_grows_worse_is_stopped_and_the_best_is_kept(tiny, inputs, monkeypatch):
    monkeypatch.setattr(training, "WORSE", 0.1)  # whatever is not far better is worse
    pruned = half_of(tiny)
    wild = Distillation(**QUICK | {"lr": 0.1, "train_tokens": 10**5})
    done = wild.recover(pruned, inputs)
    assert "it grew worse" in done.ended
    assert done.curve[-1].n_tokens < 10**5
    assert done.best.divergence <= done.curve[0].divergence


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt", "gpt_neox"])
def test_low_rank_updates_are_merged_into_plain_weights(model_type):
    lm = tiny_model(model_type)
    pruned, ids = half_of(lm), {"a": windows(8, 2)}
    spec = LoRA(train_tokens=2048, lr=1e-2, rank=2)
    done = spec.recover(pruned, RecoveryInputs(lm, windows(32, 1), ids))
    assert done.best.divergence < done.curve[0].divergence
    old, new = pruned.model.state_dict(), done.model.model.state_dict()
    assert list(old) == list(new)  # nothing of the adapter is left
    inside = [module for p in ffn.projections(pruned.model) for module in p.modules]
    trained = {
        f"{name}.weight"
        for name, module in pruned.model.named_modules()
        if module in inside
    }
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == trained
    for name in changed:
        update = (new[name] - old[name]).double()
        sizes = torch.linalg.svdvals(update)
        assert sizes[2:].max() < 1e-4 * sizes[0]  # of rank 2


def test_low_rank_updates_begin_at_the_pruned_model_and_follow_the_seed(tiny, inputs):
    pruned = half_of(tiny)
    before = torch.get_rng_state()
    runs = [LoRA(train_tokens=512, seed=s).recover(pruned, inputs) for s in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert len({r.curve[0].divergence for r in runs}) == 1
    ends = [r.curve[-1].divergence for r in runs]
    assert ends[0] == ends[1] != ends[2]


def test_without_peft_it_is_one_sentence(tiny, inputs, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(LLMRankError, match="pip install peft"):
        LoRA(train_tokens=512).recover(half_of(tiny), inputs)


def test_the_gradient_of_cross_entropy_is_that_of_the_whole_logits(tiny):
    pruned, ids = half_of(tiny), windows(3, 3, 50)
    wanted = last_hidden(tiny.model, ids).flatten(0, 1)
    reached = last_hidden(pruned.model, ids).detach().requires_grad_()
    read, gradient = Head(tiny.model).gradient(
        wanted, reached.detach().flatten(0, 1), following(ids), "cross-entropy"
    )
    logits = tiny.model.lm_head(reached)[:, :-1]
    came = ids[:, 1:].flatten()
    whole = torch.nn.functional.cross_entropy(logits.flatten(0, 1), came)
    (slope,) = torch.autograd.grad(whole, reached)
    assert read.pruned_nll == pytest.approx(float(whole.detach()), rel=1e-5)
    assert torch.allclose(gradient.view_as(slope), slope, rtol=1e-3, atol=1e-7)


def test_cross_entropy_has_dense_trained_likewise_beside_it(tiny, inputs):
    """What it learns of the text it would learn of any model: the control tells."""
    text = windows(4, 7).repeat(8, 1)
    own = dataclasses.replace(inputs, windows=text, held_out={"a": text[:4]})
    before = weights(tiny)
    spec = LoRA(train_tokens=8192, lr=1e-2, loss="cross-entropy")
    done = spec.recover(half_of(tiny), own)
    first, last = done.curve[0].held_out["a"], done.best.held_out["a"]
    assert last.pruned_nll < first.pruned_nll - 0.5
    assert last.ratio < 1  # better than dense, on a text that it has learnt
    both = [last_hidden(m.model, text[:4]).flatten(0, 1) for m in (tiny, done.control)]
    control = Head(tiny.model).reading(*both, following(text[:4]))
    assert control.ratio < 1
    assert all(torch.equal(w, before[n]) for n, w in tiny.model.state_dict().items())
    assert LoRA(train_tokens=512).recover(half_of(tiny), inputs).control is None


@pytest.mark.usefixtures("float32")
def test_dense_distilled_from_itself_stays_as_it_is(tiny, inputs):
    """That is why the divergence needs no control."""
    done = Distillation(**QUICK).recover(tiny, inputs)
    assert done.best.divergence == pytest.approx(0, abs=1e-6)
    old, new = (lm.model.state_dict() for lm in (tiny, done.model))
    assert all(torch.equal(weight, old[name]) for name, weight in new.items())
