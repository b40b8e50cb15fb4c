"""What recovery brings: perplexity over dense by budget, on two texts and its own.

    python -m benchmarks.recovery [--db FILE] [--text FILE] [--sparsities 0.2,0.3,0.5]
                                  [--methods METHOD,METHOD]

By default the best method without training, and it trained on more and more tokens of
the mix. Each cell is read on 16,384 tokens of the embedded passages, which no stage has
seen, and on as many of a second text, if one is given; intervals are paired by window.
Stopped, it goes on where it was when it is given the same file.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.shipped import BASE
from llmrank.cli.terminal import ProgressBar
from llmrank.core.formatting import share
from llmrank.core.statistics import times_spread
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import Report, control_facts, environment, recovery_facts
from llmrank.experiments.store import Store
from llmrank.methods.method import method

START = "wanda+additive+least-squares-sequential"
BUDGETS = 51_200, 102_400, 204_800
"""Tokens; how long they took stands in the table."""


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", type=Path, default=Path("recovery.sqlite3"))
    parser.add_argument("--text", type=Path, help="a second text, in UTF-8")
    trained = [f"{START}+distil:train_tokens={n}" for n in BUDGETS]
    parser.add_argument("--methods", default=",".join([START, *trained]))
    parser.add_argument("--sparsities", default="0.2,0.3,0.5")
    options = parser.parse_args()
    store, pipeline = Store(options.db), Pipeline()
    print("| method | removed | tokens trained on | Wikipedia passages | second text |")
    print("|---|---|---|---|---|", flush=True)
    for sparsity in map(float, options.sparsities.split(",")):
        for name in options.methods.split(","):
            cell = replace(BASE, method=method(name)).at(sparsity)
            print(row(cell, store, pipeline, options.text), flush=True)


def row(cell: Experiment, store: Store, pipeline: Pipeline, text: Path | None) -> str:
    """Return a row of the table, measuring what the store does not have."""
    told = [_measured(cell, store, pipeline)]
    if text is not None:
        second = EvaluationSpec(eval_text=str(text), eval_tokens=16_384)
        told.append(_measured(replace(cell, evaluation=second), store, pipeline))
    trained = told[0].environment.get("recovery", "–")
    texts = [
        "; ".join([times_spread(ratio), *_control(report)])
        for report in told
        if (ratio := report.comparison.perplexity_ratio) is not None
    ]
    removed = share(cell.pruning.sparsity)
    cells = [cell.method.name, removed, trained, *texts, "–"]
    return f"| {' | '.join(cells[:5])} |"


def _control(report: Report) -> list[str]:
    told = report.environment.get("control")
    return [] if told is None else [told]


def _measured(cell: Experiment, store: Store, pipeline: Pipeline) -> Report:
    for known in store.runs(recipe=cell.to_json(), states=("done",), limit=1):
        comparison = store.comparison(known.id)
        assert comparison is not None
        assert known.origin is not None
        origin = known.origin
        return Report(cell, origin.environment, origin.calibration_sha256, comparison)
    bar = ProgressBar()
    dense = pipeline.dense_text(cell, progress=bar)
    model = pipeline.model(cell)
    size, pruned = pipeline.pruned_text(cell, progress=bar)
    bar.clear()
    comparison = Comparison(Side(footprint(model), dense), Side(size, pruned))
    where = environment(model, cell.calibration)
    where |= recovery_facts(pipeline.recovered.peek(cell))
    where |= control_facts(cell, pipeline, comparison, bar)
    sha256 = pipeline.stats(cell).text_sha256
    report = Report(cell, where, sha256, comparison)
    store.add_report(report)
    return report


if __name__ == "__main__":
    main()
