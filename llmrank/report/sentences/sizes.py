"""What is left after pruning: sizes before and after, and what the widths mean."""

import pandas as pd

from llmrank.core.formatting import number, share
from llmrank.evaluation.footprint import Footprint
from llmrank.methods.pruning import PruningPlan, PruningSpec
from llmrank.models.precision import bytes_of


def sizes(dense: Footprint, pruned: Footprint) -> dict[str, tuple[str, str, str]]:
    """Write each size dense, pruned and as the change, a share of dense."""
    pairs = {
        "FFN neurons": (dense.n_ffn_neurons, pruned.n_ffn_neurons, amount),
        "Parameters": (dense.n_params, pruned.n_params, amount),
        "Weights": (dense.weight_bytes, pruned.weight_bytes, size),
        "MACs per token": (dense.macs_per_token, pruned.macs_per_token, amount),
    }
    return {
        name: (write(before), write(after), change(before, after))
        for name, (before, after, write) in pairs.items()
    }


def amount(n: int | float) -> str:
    """Write a count with at most one decimal and its magnitude (M, B)."""
    for power, letter in ((1e9, "B"), (1e6, "M")):
        if n >= power:
            return f"{n / power:,.1f} {letter}"
    return f"{n:,.0f}"


def size(n_bytes: int | float) -> str:
    """Write bytes in kB, MB or GB (decimal)."""
    power, unit = next((p, u) for p, u in _UNITS if n_bytes >= p or u == "kB")
    return f"{number(n_bytes / power)} {unit}"


def change(before: int | float, after: int | float) -> str:
    """Write how much smaller something is, as a share of what it was."""
    if before == after:
        return "unchanged"
    return f"{'−' if after < before else '+'}{share(abs(1 - after / before))}"


def widths_sentence(plan: PruningPlan) -> str:
    """Say how many neurons the layers keep."""
    d_ff = plan.dense_widths[0]
    if not plan.n_dropped:
        return "Nothing is removed: every layer keeps all its neurons."
    if plan.uniform:
        width = plan.widths[0]
        return (
            f"Every layer keeps {width:,} of {d_ff:,} neurons "
            f"({share(1 - width / d_ff)} removed)."
        )
    kept = [w / d for w, d in zip(plan.widths, plan.dense_widths, strict=True)]
    most, least = kept.index(min(kept)), kept.index(max(kept))
    return (
        f"Layer {most} loses most and keeps {plan.widths[most]:,} of "
        f"{plan.dense_widths[most]:,} neurons; layer {least} loses least and keeps "
        f"{plan.widths[least]:,}."
    )


def rounding_sentence(plan: PruningPlan, spec: PruningSpec) -> str | None:
    """Say what rounding the widths did to the sparsity; None where it did nothing."""
    wanted = spec.sparsity * sum(plan.dense_widths)
    if spec.multiple_of == 1 or abs(plan.n_dropped - wanted) < len(plan.widths):
        return None
    return (
        f"Widths are rounded up to multiples of {spec.multiple_of}, which suit "
        f"hardware: {share(plan.sparsity)} of the neurons go instead of "
        f"{share(spec.sparsity)}."
    )


def checkpoint_sentence(
    pruned: Footprint, padded: Footprint, precision: str, opened: str
) -> str:
    """Say who can open a checkpoint in a precision, and what padding it would cost."""
    if len(set(pruned.widths)) == 1:
        return f"All layers have one width: a plain checkpoint. {opened}."
    low, high = min(pruned.widths), max(pruned.widths)
    more = share(padded.n_params / pruned.n_params - 1)
    now, wide = (size(f.n_params * bytes_of(precision)) for f in (pruned, padded))
    return (
        f"The layers keep different widths ({low:,} to {high:,}), and transformers "
        "knows one width per model: as it is, `llmrank.load` opens the checkpoint. "
        f"Padded with zero neurons to {high:,} in every layer it computes the same and "
        f"is a plain checkpoint, but takes {wide} instead of "
        f"{now} ({more} more) and the time of its padded widths."
    )


def precision_sentence(pruned: Footprint, computed: str, written: str) -> str:
    """Say in which precision a model is computed and written, and the weights' size."""
    said = f"{size(pruned.n_params * bytes_of(written))} of weights"
    if bytes_of(written) > bytes_of("bfloat16"):
        said += f"; bfloat16 takes {size(pruned.n_params * bytes_of('bfloat16'))}"
    if computed == written:
        return f"Loaded and written in {written}: {said}."
    rounded = bytes_of(written) < bytes_of(computed)
    to = "rounded to" if rounded else "written in"
    return f"Loaded in {computed}, {to} {written}: {said}."


def widths_table(plan: PruningPlan) -> pd.DataFrame:
    """List the widths of each layer, dense and pruned."""
    widths = {"dense": plan.dense_widths, "pruned": plan.widths}
    return pd.DataFrame(widths).rename_axis("layer").reset_index()


_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
