"""What a curve of accuracy over sparsity says, in sentences computed from it."""

from collections.abc import Sequence

from llmrank.core.formatting import counted, duration, number, share
from llmrank.core.statistics import share_spread, times_spread
from llmrank.evaluation.perplexity import perplexity_ratio, top1_retention
from llmrank.experiments.curve import Metric, Point, Ranking, ranking
from llmrank.methods.criteria import Criterion
from llmrank.methods.method import Method, label

BETTER = {"perplexity": "the lowest perplexity", "top1": "the highest top-1 accuracy"}


def curve_sentence(
    points: Sequence[Point],
    sparsity: float,
    metric: Metric,
    in_hand: Method,
) -> str:
    """Say who is best at a sparsity, who cannot be told from it, and who is not.

    All have the widths, the repair and the recovery in hand, which are named.
    Where nothing is measured at that sparsity, the nearest one is taken and named.
    """
    there = {p.sparsity for p in points}
    nearest = min(there, key=lambda s: abs(s - sparsity))
    order = ranking(points, nearest, metric)
    assert order is not None
    said = f"At {share(nearest)} removed "
    if nearest != sparsity:
        said = f"{share(sparsity)} is not measured; at {share(nearest)} removed "
    said += f"with {rest} " if (rest := beside_criterion(in_hand)) else ""
    if not order.tied and not order.behind:
        alone = f"{label(order.best.criterion)} is alone so far"
        return f"{said}{alone}: {_value(order.best, metric)}."
    return f"{said}{_ahead(order, metric)}{_own(order, metric, in_hand.criterion)}."


def beside_criterion(method: Method) -> str:
    """Name what all criteria of a curve share: widths, repair, recovery, if unusual."""
    return method.name.partition(" + ")[2]


def points_sentence(points: Sequence[Point]) -> str:
    """Say what the points were measured on, and how sure they are."""
    text = points[0].pruned
    return (
        f"Each point reads {text.n_tokens:,} tokens of {text.text_source}; whiskers "
        "are 95 % intervals over its windows. Who is ahead is decided window by "
        "window, which tells far smaller differences apart; each pair on its own."
    )


def cost_sentence(
    n_points: int, n_known: int, seconds: float | None, *, is_ours: bool
) -> str:
    """Say what measuring a curve will take; `is_ours`: at our pace, none was seen."""
    verb = "is" if n_known == 1 else "are"
    known = f"; {n_known:,} {verb} measured already" if n_known else ""
    points = counted(n_points, "point")
    if not n_points and not n_known:
        return "Choose a sparsity above 0."
    if not n_points:
        return "Every point of this choice is measured."
    if seconds is None:
        return f"{points} to measure{known}; how long it takes shows once it runs."
    pace = "on two cores like ours" if is_ours else "at the pace just seen here"
    return (
        f"{points} to measure: {duration(seconds)} {pace}, not counted: scoring, "
        f"cutting and solving{known}."
    )


def _ahead(ranking: Ranking, metric: Metric) -> str:
    best = ranking.best
    said = f"{label(best.criterion)} has {BETTER[metric]}, {_value(best, metric)}"
    windows = counted(len(best.pruned.nll), "window")
    if ranking.tied:
        names = _listed(
            [f"{label(p.criterion)} ({_value(p, metric)})" for p in ranking.tied]
        )
        said += f"; {windows} cannot tell {names} from it"
    elif ranking.behind:
        beaten = _beaten(ranking.behind)
        said += f", ahead of {beaten} by more than {windows} leave to chance"
    return said


def _beaten(behind: Sequence[Point]) -> str:
    """Name the one, or say how many there are: the curve may still be growing."""
    if len(behind) == 1:
        return label(behind[0].criterion)
    return f"all {len(behind)} others measured here"


def _own(ranking: Ranking, metric: Metric, in_hand: Criterion) -> str:
    """Say plainly when the method in hand loses."""
    for point in ranking.behind:
        if point.criterion == in_hand:
            ratio = _against(point, ranking.best, metric)
            what = "its perplexity" if metric == "perplexity" else "its top-1 accuracy"
            return f"; {label(in_hand)}, the method in hand, loses with {ratio} {what}"
    return ""


def _against(point: Point, best: Point, metric: Metric) -> str:
    if metric == "perplexity":
        return times_spread(perplexity_ratio(best.pruned, point.pruned))
    return f"{share_spread(top1_retention(best.pruned, point.pruned))} of"


def _value(point: Point, metric: Metric) -> str:
    if metric == "perplexity":
        return number(point.pruned.perplexity.value)
    return f"{number(100 * point.pruned.top1.value)} %"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
