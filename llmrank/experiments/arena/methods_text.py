"""What a visitor asks an arena for: methods in words, and the grid that follows."""

from collections.abc import Sequence
from dataclasses import replace

from llmrank.core.errors import OptionError
from llmrank.core.specs import options
from llmrank.experiments.arena.spec import ArenaSpec, Method, check_size, method
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import METHOD
from llmrank.experiments.store import Measure
from llmrank.methods.criteria import CRITERIA

PAPER = "llm-rank:site=up"
"""The paper's own graph: activation measured at the output of `up_proj`."""

USUAL = (
    "llm-rank",
    PAPER,
    "llm-rank+least-squares",
    "wanda",
    "wanda+additive+least-squares-sequential",
    "cfsp+block-influence",
    "cfsp+block-influence+least-squares",
    "flap+standardised+bias",
    "taylor",
    "random",
)
"""The competition to begin with: ours, the paper's, the best published, baselines."""


def offered() -> tuple[str, ...]:
    """List what can be chosen by name: the usual ones, then every criterion alone."""
    return tuple(dict.fromkeys([*USUAL, *CRITERIA]))


def written(of: Method) -> str:
    """Write a method so that `arena.method` reads it again; seeds are the cell's.

    Raises:
        OptionError: a value, such as a path, has a character that words cannot carry.
    """
    of, usual = of.unseeded, Method()
    parts = [p for p in METHOD if p == "criterion" or _part(of, p) != _part(usual, p)]
    words = "+".join(_written(_part(of, p)) for p in parts)
    try:
        is_same = method(words) == of
    except OptionError:
        is_same = False
    if not is_same:
        raise OptionError(
            f"{of.name[:80]!r} cannot be written in words, as one of its values has a "
            "'+' or begins another name=value; name that file otherwise"
        )
    return words


def asked(
    in_hand: Experiment,
    methods: Sequence[str],
    sparsities: Sequence[float],
    seeds: Sequence[int],
    measures: Sequence[Measure],
) -> ArenaSpec:
    """Return the grid on the model and the texts of the experiment in hand.

    What the grid replaces or does not ask for is left out of its description: it stays
    the same arena when another criterion or sparsity is taken in hand.

    Raises:
        OptionError: see `method` and `ArenaSpec`.
    """
    check_size(1, len(methods), len(sparsities), len(seeds))
    usual = Experiment()
    base = replace(
        usual,
        calibration=replace(in_hand.calibration, seed=usual.calibration.seed),
        pruning=replace(in_hand.pruning, sparsity=usual.pruning.sparsity),
        evaluation=in_hand.evaluation,
    )
    if "tasks" in measures:
        base = replace(base, tasks=in_hand.tasks)
    if {"latency", "memory"} & set(measures):
        base = replace(base, benchmark=in_hand.benchmark)
    return ArenaSpec(
        models=(in_hand.model,),
        methods=tuple(method(words) for words in methods),
        sparsities=tuple(sparsities),
        seeds=tuple(seeds),
        measures=tuple(measures),
        base=base,
    )


def _part(of: Method, name: str) -> object:
    return getattr(of, name)


def _written(part: object) -> str:
    changed = [
        f"{o.name}={getattr(part, o.name)}"
        for o in options(type(part))
        if getattr(part, o.name) != o.default
    ]
    return ":".join([str(getattr(part, "name")), *changed])  # noqa: B009
