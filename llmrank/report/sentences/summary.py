"""Results in words: the verdict of a comparison, and the command line's tables."""

from collections.abc import Sequence

from llmrank.core.formatting import counted, number, share, times
from llmrank.core.statistics import share_spread, spread, times_spread
from llmrank.evaluation.accuracy import TaskResult
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.perplexity import WINDOW, TextEvaluation
from llmrank.evaluation.speedup import as_fast

PAIRED = (
    "× as fast: the median of the rounds' ratios, dense and pruned paired round by "
    "round, which may differ from the ratio of the two medians."
)
"""Goes wherever such a ratio stands beside the two medians."""

BEYOND = "Peak memory is what one run takes beyond an empty process."


def verdict(comparison: Comparison) -> dict[str, str]:
    """Say how much smaller, worse and faster the pruned model is, as measured so far.

    Returns:
        One sentence under each heading. A heading claims a difference only where the
        95 % interval leaves out none; what is not measured yet is not there.
    """
    return _smaller(comparison) | _worse(comparison) | _faster(comparison)


def table(comparison: Comparison) -> str:
    """Return the comparison for a terminal: dense left, pruned right, the verdict."""
    pairs = zip(_rows(comparison.dense), _rows(comparison.pruned), strict=False)
    rows = [f"{name:<22}{left:>30}{right:>30}" for (name, left), (_, right) in pairs]
    head = f"{'':<22}{'dense':>30}{'pruned':>30}"
    reasons = () if comparison.speedup is None else comparison.speedup.reasons
    said = (f"{heading}: {what}" for heading, what in verdict(comparison).items())
    why = (f"- {reason}" for reason in reasons)
    return "\n".join([head, *rows, "", *said, *why, *_footnotes(comparison)])


def side_lines(side: Side) -> list[str]:
    """Return one model's measurements as lines for a terminal."""
    lines = [f"{name:<22}{value:>30}" for name, value in _rows(side)]
    return [*lines, *_read(side)]


def windows(text: TextEvaluation) -> str:
    """Say how a text was cut: windows of 512 tokens, each begun with <bos>."""
    short = " (all that the model takes)" if text.seq_len < WINDOW else ""
    begun = f"each begun with {text.bos}" if text.bos else "without BOS"
    return f"windows of {text.seq_len:,} tokens{short}, {begun}"


def left_out(tasks: Sequence[TaskResult]) -> list[str]:
    """Say which items could not be asked, a sentence for each task that has any."""
    return [
        f"{counted(t.n_left_out, 'item')} of {t.name} left out: this model's tokens do "
        "not part a choice from its question, or it takes too few."
        for t in tasks
        if t.n_left_out
    ]


def _smaller(comparison: Comparison) -> dict[str, str]:
    dense, pruned = comparison.dense.footprint, comparison.pruned.footprint
    dropped = 1 - pruned.n_ffn_neurons / dense.n_ffn_neurons
    said = (
        f"{share(dropped)} of the FFN neurons removed: {pruned.n_params / 1e6:,.1f} M "
        f"parameters instead of {dense.n_params / 1e6:,.1f} M "
        f"({share(1 - pruned.n_params / dense.n_params)} fewer)."
    )
    return {"Smaller" if dropped else "Not smaller": said}


def _worse(comparison: Comparison) -> dict[str, str]:
    ratio, kept = comparison.perplexity_ratio, comparison.top1_retention
    if ratio is None or kept is None or ratio.n_windows < 2:
        return {}  # of one window nothing can be said of the text
    heading = "Not measurably worse"
    if ratio.low > 1 or ratio.high < 1:
        heading = "Worse" if ratio.low > 1 else "Better"
    said = (
        f"Perplexity {times_spread(ratio)} of dense; it keeps {share_spread(kept)} of "
        "the dense model's top-1 accuracy."
    )
    return {heading: said}


def _faster(comparison: Comparison) -> dict[str, str]:
    """Judge each phase; those that are judged alike share a heading."""
    if comparison.speedup is None:
        return {}
    by_heading: dict[str, list[str]] = {}
    phases = {
        "prefill": comparison.speedup.prefill,
        "decoding": comparison.speedup.decode,
    }
    for name, ratio in phases.items():
        said = f"{name} {as_fast(ratio)} as dense, {times(ratio.ideal)} by arithmetic"
        by_heading.setdefault(ratio.outcome.capitalize(), []).append(said)
    sentences = {h: "; ".join(said) for h, said in by_heading.items()}
    return {h: f"{s[0].upper()}{s[1:]}." for h, s in sentences.items()}


def _footnotes(comparison: Comparison) -> list[str]:
    notes = [] if comparison.speedup is None else [PAIRED]
    notes += [BEYOND] if comparison.dense.memory is not None else []
    said = " ".join(["In brackets: 95 % intervals.", *_read(comparison.dense), *notes])
    return ["", said] if comparison.dense.text is not None else []


def _read(side: Side) -> list[str]:
    text = [] if side.text is None else [f"Text read in {windows(side.text)}."]
    return [*text, *left_out(side.tasks)]


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
            ("top-1 accuracy", share_spread(side.text.top1)),
        ]
    rows += [
        (f"{t.name} acc ({t.n_items:,})", f"{share(t.acc)} ± {100 * t.stderr:.2g}")
        for t in side.tasks
    ]
    if side.latency is not None:
        for name, timing in {
            "prefill, ms": side.latency.prefill,
            "decode, ms a token": side.latency.decode,
        }.items():
            rows.append((name, f"{number(timing.median)} (p90 {number(timing.p90)})"))
    if side.memory is not None:
        rows.append(("peak memory, MB", number(side.memory.used_bytes / 1e6)))
    return rows
