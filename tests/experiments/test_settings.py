"""Settings and experiments: both ways, by the command line, and as running Python."""

import contextlib
import io
import json
import shlex

import pytest
import torch
from hypothesis import Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from llmrank.__main__ import _parser
from llmrank.calibration.activations import CalibrationSpec
from llmrank.cli.run import described
from llmrank.core.errors import OptionError
from llmrank.core.specs import options
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments.experiment import Experiment, spec_kinds
from llmrank.experiments.settings import (
    SECTIONS,
    applicable,
    command_line,
    declared,
    experiment,
    export_name,
    settings,
    snippet,
    spelled_out,
)
from llmrank.methods.allocation import ByHand, Global
from llmrank.methods.criteria import CRITERIA, LLMRank, Random, Wanda, criterion
from llmrank.methods.method import DEFAULT, PARTS, Method
from llmrank.methods.pruning import PruningSpec
from llmrank.methods.recovery import Distillation
from llmrank.models.language_model import ModelSpec
from llmrank.models.precision import PRECISIONS

drawn = hypothesis_settings(
    deadline=None, max_examples=25, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
"""No shrinking: an experiment is large, and its building slow under type checks."""

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def values_of(o):
    """Any value that an option allows."""
    if o.choices:
        return st.sampled_from(o.choices)
    if o.kind is str:
        return TEXT
    if o.kind is int:
        return st.integers(o.low, 2**31 if o.high is None else o.high)
    return st.floats(o.low, o.high if o.below is None else o.below).filter(
        lambda value: o.below is None or value < o.below
    )


def fields_of(kind):
    own = {o.name: values_of(o) for o in options(kind) if not o.name.endswith("seed")}
    return st.fixed_dictionaries(own)


SEEDS = st.integers(0, 2**31)


def any_of(registry):
    drawn = [st.tuples(st.just(n), fields_of(registry[n])) for n in registry]
    return st.one_of(drawn)


CHOSEN = any_of(CRITERIA)
DRAWN = st.fixed_dictionaries(
    {s: fields_of(spec_kinds()[s]) for s in SECTIONS}
    | {p: any_of(PARTS[p]) for p in ("allocation", "repair")}
)
any_experiment = given(CHOSEN, DRAWN, SEEDS)


def built(chosen, parts, seed):
    """Build outside of drawing: beartype uses `random`, which hypothesis forbids."""
    name, own = chosen
    if name == "random":
        own = {"seed": seed}
    seeds = {"calibration": "seed", "tasks": "items_seed", "benchmark": "seed"}
    specs = {
        s: spec_kinds()[s](
            **parts.get(s, {}), **({seeds[s]: seed} if s in seeds else {})
        )
        for s in SECTIONS
    }
    method = {
        part: PARTS[part].build(parts[part][0], **parts[part][1])
        for part in {"allocation", "repair"} & set(parts)
    }
    return Experiment(method=Method(criterion(name, **own), **method), **specs)


def parsed(command):
    """Read a command as the shell and our parser do."""
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "llmrank", "run"]
    return _parser().parse_args(words[3:])


# Both ways


@any_experiment
@drawn
def test_settings_build_their_experiment_again(chosen, parts, seed):
    e = built(chosen, parts, seed)
    found = settings(e)
    assert experiment(found) == e
    assert experiment({name: str(value) for name, value in found.items()}) == e
    assert applicable(found) == found


@given(CHOSEN, DRAWN, SEEDS, st.none() | TEXT, st.sampled_from(PRECISIONS))
@example(("l1", {}), {"model": {"name": "--model"}}, 0, "-x", "float16")
@example(("l1", {}), {"model": {"name": "it's $A \n `ls`"}}, 1, "a b", "checkpoint")
@drawn
def test_the_command_line_repeats_the_experiment(chosen, parts, seed, export, dtype):
    e = built(chosen, parts, seed)
    arguments = parsed(command_line(e, export=export, export_dtype=dtype))
    assert described(arguments) == e
    assert (arguments.export, arguments.export_dtype) == (export, dtype)


@any_experiment
@drawn
def test_json_gives_the_experiment_back(chosen, parts, seed):
    e = built(chosen, parts, seed)
    assert Experiment.from_json(json.loads(json.dumps(e.to_json()))) == e


def test_the_default_needs_no_settings():
    assert settings(Experiment(method=DEFAULT)) == {}
    assert experiment({}) == Experiment(method=DEFAULT)
    assert command_line(Experiment(method=DEFAULT)) == "python -m llmrank run"


def test_a_method_without_extras_says_so():
    bare = {"allocation": "uniform", "repair": "none"}
    assert settings(Experiment()) == bare
    assert experiment(bare) == Experiment()


def test_only_what_differs_is_said():
    e = Experiment(method=Method(LLMRank(theta=0.25), Global(), DEFAULT.repair))
    assert settings(e) == {"theta": 0.25, "allocation": "global"}
    assert command_line(e, export="out dir") == (
        "python -m llmrank run --allocation global --theta 0.25 --export 'out dir'"
    )
    assert "--export-dtype" not in command_line(e, export="out")
    assert "llmrank.save(pruned, 'out')" in snippet(e, export="out")
    half = "llmrank.save(pruned, 'out', dtype='float16')"
    assert half in snippet(e, export="out", export_dtype="float16")


def test_one_seed_sets_every_seed():
    e = experiment({"seed": "7", "criterion": "random"})
    assert e.calibration.seed == e.tasks.items_seed == e.benchmark.seed == 7
    assert e.method.criterion == Random(seed=7)
    assert experiment({"seed": "7"}).method.criterion == LLMRank()


def test_every_option_of_every_spec_is_a_setting():
    """Names of the command line in the issue, and no two that mean different things."""
    asked = (
        "model criterion theta gamma graph site variant sparsity allocation repair "
        "multiple_of calibration_text eval_text samples seq_len eval_tokens tasks "
        "items batch prompt_tokens new_tokens device dtype seed"
    )
    assert set(asked.split()) <= set(declared())
    for o in declared().values():
        assert o.help
        o.check(o.default)


def test_defaults_are_those_of_the_issue():
    e = Experiment()
    assert (e.model.name, e.method.criterion) == ("demo", LLMRank(theta=0.5, gamma=0.5))
    assert (e.method.criterion.graph, e.method.criterion.site) == ("isolated", "neuron")
    assert e.pruning == PruningSpec(sparsity=0.3, multiple_of=1)
    assert e.tasks.names == ()


# Refusals


@pytest.mark.parametrize("name", ["sparcity", "", "Theta", "--theta", "x" * 500])
def test_an_unknown_setting_is_refused_with_those_there_are(name):
    with pytest.raises(OptionError) as caught:
        experiment({name: "1"})
    text = str(caught.value)
    assert text.startswith(f"unknown setting {name[:80]!r}; there are: criterion, ")
    assert len(text) < 700


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sparsity", "1", "sparsity must lie in [0, 1), got 1.0"),
        ("sparsity", "nan", "sparsity must lie in [0, 1), got nan"),
        ("theta", "half", "theta must lie in [0, 1], got 'half'"),
        ("gamma", "-0.1", "gamma must lie in [0, 1], got -0.1"),
        ("gamma", "", "gamma must lie in [0, 1], got ''"),
        ("samples", "1.5", "samples must be a whole number and lie in [1, 4096], "
         "got '1.5'"),
        ("device", "tpu", "device must be one of auto, cpu, cuda, mps, got 'tpu'"),
        ("seed", "-1", "seed must be a whole number and lie in [0, 2147483648], "
         "got -1"),
    ],
)  # fmt: skip
def test_a_value_outside_its_limits_is_refused(name, value, said):
    with pytest.raises(OptionError) as caught:
        experiment({name: value})
    assert str(caught.value) == said


def test_a_seed_is_limited_alike_wherever_it_goes():
    """The benchmark's generator would fail on more than 64 bits, after all work."""
    with pytest.raises(OptionError, match=r"seed must .* got 18446744073709551616"):
        experiment({"seed": 2**64})


def test_an_unknown_criterion_is_refused():
    with pytest.raises(
        OptionError, match="unknown criterion 'pagerank'; there are: ll"
    ):
        experiment({"criterion": "pagerank"})


@pytest.mark.parametrize("part", ["allocation", "repair"])
def test_an_unknown_part_of_the_method_is_refused(part):
    with pytest.raises(OptionError, match=f"unknown {part} 'layer'; there are: "):
        experiment({part: "layer"})


def test_a_parameter_of_another_criterion_is_refused():
    with pytest.raises(OptionError) as caught:
        experiment({"criterion": "wanda", "theta": "0.5"})
    assert str(caught.value) == "criterion wanda has no theta; it has: column_norm"
    assert applicable({"criterion": "wanda", "theta": "0.5", "seed": "1"}) == {
        "criterion": "wanda", "seed": "1",
    }  # fmt: skip


# Names and code to copy


@pytest.mark.parametrize(
    ("e", "name"),
    [
        (Experiment(), "SmolLM2-135M-Instruct-llm-rank-30pct"),
        (
            Experiment(
                ModelSpec(name="someone/Tiny Model"),
                method=Method(Wanda(), Global()),
                pruning=PruningSpec(sparsity=0.125),
            ),
            "Tiny-Model-wanda-12.5pct-global",
        ),
        (Experiment(ModelSpec(name="/m/a.gguf")), "a-llm-rank-30pct"),
        (
            Experiment(
                ModelSpec(name="/m/a"), method=Method(allocation=ByHand(kept="1,2"))
            ),
            "a-llm-rank-by-hand",
        ),
        (Experiment(ModelSpec(name="..")), "llm-rank-30pct"),
        (Experiment(ModelSpec(name="Μύλος")), "llm-rank-30pct"),
    ],
)
def test_an_export_is_named_after_what_was_done(e, name):
    assert export_name(e) == name


@any_experiment
@drawn
def test_an_exports_name_is_one_plain_folder(chosen, parts, seed):
    e = built(chosen, parts, seed)
    name = export_name(e)
    assert name
    assert "/" not in name
    assert name[0] not in ".-"
    assert shlex.quote(name) == name


@any_experiment
@drawn
def test_the_python_snippet_builds_its_specs(chosen, parts, seed):
    """The lines are Python, and the names that they use are imported by them."""
    asked, names = built(chosen, parts, seed), {}
    code = snippet(asked)
    exec(code.partition("pipeline = ")[0], names)
    assert names["experiment"] == asked
    compile(code, "snippet", "exec")


def test_a_name_means_the_same_in_every_criterion():
    """Settings are flat: one control, one flag, one word in the link."""
    seen = {}
    for o in (o for name in CRITERIA for o in options(CRITERIA[name])):
        limits = (o.kind, o.default, o.low, o.high, o.below, o.choices)
        assert seen.setdefault(o.name, limits) == limits, o.name


@pytest.mark.slow
def test_the_python_snippet_runs(tiny_folder, tiny_text, tmp_path, capsys):
    text = str(tiny_text)
    e = Experiment(
        model=ModelSpec(name=str(tiny_folder), device="cpu"),
        calibration=CalibrationSpec(calibration_text=text, samples=4, seq_len=64),
        method=Method(LLMRank(theta=0.25)),
        pruning=PruningSpec(sparsity=0.5),
        evaluation=EvaluationSpec(eval_text=text, eval_tokens=1024),
        benchmark=BenchmarkSpec(prompt_tokens=8, new_tokens=2, repeats=2),
    )
    target = tmp_path / "it's here"
    names = {}
    exec(snippet(e, export=str(target)), names)
    printed = capsys.readouterr().out
    assert "perplexity (1,024 tok)" in printed
    assert (
        "bit-identical logits. The weights are in float32, the checkpoint's own"
        in printed
    )
    model = AutoModelForCausalLM.from_pretrained(target)
    assert model.config.intermediate_size == 12
    prompt = torch.arange(1, 40)[None]
    assert torch.equal(model(prompt).logits, names["pruned"].model(prompt).logits)


def test_help_names_every_setting():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as caught:
        _parser().parse_args(["run", "--help"])
    assert caught.value.code == 0
    for name in declared():
        assert f"--{name.replace('_', '-')} " in printed.getvalue()


def test_parameters_may_stand_behind_the_name_of_a_part():
    given = {
        "recovery": "distil:minutes=5:lr=0.001",
        "criterion": "llm-rank: theta = 1",
    }
    flat = spelled_out(given | {"sparsity": "0.2"})
    assert flat == {
        "recovery": "distil", "minutes": "5", "lr": "0.001",
        "criterion": "llm-rank", "theta": "1", "sparsity": "0.2",
    }  # fmt: skip
    assert experiment(flat).method.recovery == Distillation(minutes=5.0, lr=0.001)
    with pytest.raises(OptionError, match="write one as distil:name=value"):
        spelled_out({"recovery": "distil:5"})
    with pytest.raises(OptionError, match="recovery none has no minutes"):
        experiment(spelled_out({"recovery": "none:minutes=5"}))
