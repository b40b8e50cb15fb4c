"""What a visitor asks an arena for: methods in words, and the grid that follows."""

from collections.abc import Sequence
from dataclasses import replace

from llmrank.evaluation.comparison import Measure
from llmrank.experiments.arena.spec import ArenaSpec, check_size
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import CRITERIA
from llmrank.methods.method import method

PAPER = "llm-rank:site=up"
"""The paper's own graph: activation measured at the output of `up_proj`."""

USUAL = (
    "llm-rank",
    PAPER,
    "llm-rank+block-influence+least-squares",
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
