"""Results in words: the verdict of a comparison, and the command line's tables."""

from llmrank.benchmark import Ratio
from llmrank.comparison import Comparison, Side
from llmrank.evaluation import Estimate


def verdict(found: Comparison) -> dict[str, str]:
    """Say how much smaller, worse and faster the pruned model is, as measured so far.

    Returns:
        One sentence each under `smaller`, `worse` and `faster`; what is not measured
        yet is not there.
    """
    said = {"smaller": _smaller(found)}
    ratio, kept = found.perplexity_ratio, found.top1_retention
    if ratio is not None and kept is not None:
        said["worse"] = (
            f"Perplexity {spread(ratio, '×')} of dense; it keeps "
            f"{spread(kept)} of the dense model's right first guesses."
        )
    if found.speedup is not None:
        said["faster"] = (
            f"Prefill {_faster(found.speedup.prefill)}, "
            f"decoding {_faster(found.speedup.decode)}."
        )
    return said


def table(found: Comparison) -> str:
    """Return the comparison for a terminal: dense left, pruned right, the verdict."""
    pairs = zip(_rows(found.dense), _rows(found.pruned), strict=False)
    rows = [f"{name:<22}{left:>30}{right:>30}" for (name, left), (_, right) in pairs]
    head = f"{'':<22}{'dense':>30}{'pruned':>30}"
    reasons = () if found.speedup is None else found.speedup.reasons
    said = (*verdict(found).values(), *(f"- {r}" for r in reasons))
    return "\n".join([head, *rows, "", *said])


def side_lines(side: Side) -> list[str]:
    """Return one model's measurements as lines for a terminal."""
    return [f"{name:<22}{value:>30}" for name, value in _rows(side)]


def spread(estimate: Estimate, unit: str = "") -> str:
    """Write a value with its 95 % interval, three significant digits."""
    low, high = number(estimate.low), number(estimate.high)
    return f"{number(estimate.value)}{unit} [{low}, {high}]"


def number(value: float) -> str:
    """Write three significant digits, thousands separated."""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals if abs(value) >= 1 else 3}f}"


def _smaller(found: Comparison) -> str:
    dense, pruned = found.dense.footprint, found.pruned.footprint
    dropped = 1 - pruned.n_ffn_neurons / dense.n_ffn_neurons
    return (
        f"{dropped:.1%} of the FFN neurons are gone: {pruned.n_params / 1e6:,.1f} M "
        f"parameters instead of {dense.n_params / 1e6:,.1f} M "
        f"({1 - pruned.n_params / dense.n_params:.1%} fewer)."
    )


def _faster(ratio: Ratio) -> str:
    return (
        f"{number(ratio.measured)}× as fast as dense "
        f"[{number(ratio.low)}, {number(ratio.high)}], "
        f"{number(ratio.ideal)}× by arithmetic"
    )


def _rows(side: Side) -> list[tuple[str, str]]:
    f = side.footprint
    rows = [
        ("parameters", f"{f.n_params:,}"),
        ("FFN neurons", f"{f.n_ffn_neurons:,}"),
        ("weights, MB", f"{f.weight_bytes / 1e6:,.1f}"),
        ("MACs per token", f"{f.macs_per_token:,}"),
    ]
    if side.text is not None:
        rows += [
            (f"perplexity ({side.text.n_tokens:,} tok)", spread(side.text.perplexity)),
            ("top-1 accuracy", spread(side.text.top1)),
        ]
    rows += [
        (f"{t.name} acc ({t.n_items})", f"{t.acc:.3f} ± {t.stderr:.3f}")
        for t in side.tasks
    ]
    if side.latency is not None:
        for name, timing in {
            "prefill, ms": side.latency.prefill,
            "decode, ms a token": side.latency.decode,
        }.items():
            rows.append((name, f"{timing.median:.1f} (p90 {timing.p90:.1f})"))
    if side.memory is not None:
        rows.append(("peak memory, MB", f"{side.memory.peak_bytes / 1e6:,.0f}"))
    return rows
