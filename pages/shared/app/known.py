"""What is known of the settings in hand before these pages have measured them."""

from dataclasses import replace

from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments import frontier as frontiers
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import Frontier
from llmrank.experiments.run import Report
from llmrank.experiments.store import Run, Store
from pages.shared.app import resources


def frontier(experiment: Experiment) -> Frontier:
    """Return what this machine and we have measured of the model in hand."""
    stores = (resources.glance(), resources.shipped())
    return frontiers.frontier(experiment, [s for s in stores if s is not None])


def in_hand(experiment: Experiment) -> Report | None:
    """Return what was measured of just these settings: last here, or kept in Runs."""
    report, own = resources.reports().peek(experiment), resources.glance()
    if report is not None or own is None:
        return report
    run = frontiers.kept(experiment, own, None)
    return None if run is None else _kept(run, own)


def untrained_of(experiment: Experiment) -> Experiment:
    """Return the same settings without the recovery."""
    return replace(experiment, method=experiment.method.untrained)


def untrained(experiment: Experiment) -> TextEvaluation | None:
    """Return what these settings read without their recovery, the most of it."""
    before = untrained_of(experiment)
    reports, ours = [in_hand(before)], resources.shipped()
    if ours is not None and (run := frontiers.kept(before, None, ours)) is not None:
        reports.append(_kept(run, ours))
    texts = [r.comparison.pruned.text for r in reports if r is not None]
    read = [text for text in texts if text is not None]
    return max(read, key=lambda text: text.n_tokens, default=None)


def widths(experiment: Experiment) -> tuple[int, ...] | None:
    """Return what each layer kept when these settings were measured, here or by us.

    A recovery changes none of it.
    """
    experiment, ours = untrained_of(experiment), resources.shipped()
    report = in_hand(experiment)
    if report is None and ours is not None:
        run = frontiers.kept(experiment, None, ours)
        report = None if run is None else _kept(run, ours)
    return None if report is None else report.comparison.pruned.footprint.widths


def nearest(experiment: Experiment) -> tuple[Report, bool] | None:
    """Return the nearest sparsity of the method that was measured, and if by us."""
    known = frontier(experiment).curves.get(experiment.method.unseeded, ())
    sparsity, ours = experiment.pruning.sparsity, resources.shipped()
    for choice in sorted(known, key=lambda c: abs(c.sparsity - sparsity)):
        for store in (resources.glance(), ours):
            report = None if store is None else _kept(choice.run, store)
            if report is not None:
                return report, store is ours
    return None


def report_of(run: Run, comparison: Comparison) -> Report:
    """Return what a run measured as a page's own measurement is kept."""
    origin = run.origin
    assert origin is not None  # it is known from a run's start
    return Report(
        run.experiment, origin.environment, origin.calibration_sha256, comparison
    )


def _kept(run: Run, store: Store) -> Report | None:
    comparison = store.comparison(run.id)
    return None if comparison is None else report_of(run, comparison)
