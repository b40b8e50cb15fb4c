"""What the criterion does by itself: methods of the same widths and repair."""

from collections.abc import Sequence
from dataclasses import replace

from llmrank.core.formatting import share, times
from llmrank.experiments import arena
from llmrank.experiments.arena import Entry
from llmrank.methods.allocation import Uniform
from llmrank.methods.method import Method
from llmrank.methods.repair import NoRepair
from llmrank.report.tables.lowest import RATIO


def is_matched(entry: Entry, method: Method) -> bool:
    """Whether all of an entry's method but its criterion is as in another."""
    return entry.method == replace(method.unseeded, criterion=entry.method.criterion)


def sentence(entries: Sequence[Entry], method: Method, sparsity: float) -> str:
    """Say that the criteria cannot be told apart once all else is equal, if so.

    And that widths and repair can, where the criterion in hand is told without them.
    """
    here = [
        entry
        for entry in entries
        if RATIO in entry.figures and entry.experiment.pruning.sparsity == sparsity
    ]
    alike = [entry for entry in here if is_matched(entry, method)]
    if len(alike) < 2 or "beaten" in arena.verdicts(alike, RATIO, RATIO):
        return ""
    alike.sort(key=lambda entry: entry.figures[RATIO].value)
    named = [f"{_criterion(entry)} {_cost(entry)}" for entry in alike]
    equal = f"{method.allocation.name} + {method.repair.name}"
    said = (
        f"**With the same widths and repair** ({equal}) at {share(sparsity)} removed "
        f"{', '.join(named[:-1])} and {named[-1]} cannot be told apart"
    )
    bare = Method(method.criterion, Uniform(), NoRepair()).unseeded
    mine, plain = (
        next((entry for entry in here if entry.method == wanted), None)
        for wanted in (method.unseeded, bare)
    )
    if mine is None or plain is None or mine is plain:
        return f"{said}."
    if arena.verdicts([mine, plain], RATIO, RATIO)[1] != "beaten":
        return f"{said}."
    return (
        f"{said}: these criteria hardly differ, widths and repair do "
        f"({_criterion(plain)} without them {_cost(plain)})."
    )


def _criterion(entry: Entry) -> str:
    return entry.method.name.partition(" + ")[0]


def _cost(entry: Entry) -> str:
    return times(entry.figures[RATIO].value)
