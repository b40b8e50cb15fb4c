"""An experiment as flat, named settings: the command line, the link, the session."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmrank.criteria import CRITERIA
from llmrank.errors import OptionError
from llmrank.experiment import Experiment, spec_kinds
from llmrank.options import Option, options
from llmrank.sources import DEMO_NAME

SECTIONS = ("model", "calibration", "pruning", "evaluation", "tasks", "benchmark")
_FLAT_NAMES = {"name": "model", "items_seed": "seed"}
"""`seed` sets every seed; a model's name is the setting `model`."""


def declared(sections: Sequence[str] = ("criterion", *SECTIONS)) -> dict[str, Option]:
    """Return the settings of some sections, or of all, by their flat names.

    The criterion comes first, the parameters of every criterion last.
    """
    kinds = [spec_kinds()[s] for s in sections if s != "criterion"]
    found: dict[str, Option] = {}
    if "criterion" in sections:
        names = tuple(CRITERIA)
        kinds += [CRITERIA[n] for n in names]
        help = "How neurons are scored"
        found["criterion"] = Option("criterion", str, "llm-rank", help, choices=names)
    for o in (o for kind in kinds for o in options(kind)):
        name = _FLAT_NAMES.get(o.name, o.name)
        found.setdefault(name, replace(o, name=name))
    return found


def experiment(settings: Mapping[str, Any]) -> Experiment:
    """Build an experiment from settings given as text or as values.

    Raises:
        OptionError: an unknown setting, a value outside its limits, or a parameter of
            a criterion that is not the chosen one.
    """
    known = declared()
    for name in settings:
        if name not in known:
            raise OptionError(
                f"unknown setting {name[:80]!r}; there are: {', '.join(known)}"
            )
    chosen = CRITERIA[str(settings.get("criterion", "llm-rank"))]
    _refuse_foreign(chosen, settings)
    parts = {name: _built(spec_kinds()[name], settings) for name in SECTIONS}
    return Experiment(criterion=_built(chosen, settings), **parts)


def settings(of: Experiment) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    found: dict[str, Any] = {"criterion": of.criterion.name}
    for part in (of.criterion, *(getattr(of, s) for s in reversed(SECTIONS))):
        for o in options(type(part)):
            found[_FLAT_NAMES.get(o.name, o.name)] = getattr(part, o.name)
    defaults = {name: o.default for name, o in declared().items()}
    return {n: found[n] for n in defaults if n in found and found[n] != defaults[n]}


def export_name(of: Experiment) -> str:
    """Return a folder name for the pruned model: model, criterion, share removed."""
    model = DEMO_NAME if of.model.name == "demo" else Path(of.model.name).name
    scope = [] if of.pruning.scope == "layer" else [of.pruning.scope]
    removed = f"{100 * of.pruning.sparsity:.4g}pct"
    name = "-".join([model.removesuffix(".gguf"), of.criterion.name, removed, *scope])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "pruned-model"


def command_line(of: Experiment, *, export: str | None = None) -> str:
    """Return the command that repeats the experiment."""
    flags = [_flag(name, str(value)) for name, value in settings(of).items()]
    target = [] if export is None else [_flag("export", export)]
    return " ".join(["python -m llmrank run", *flags, *target])


def _flag(name: str, value: str) -> str:
    between = "=" if value.startswith("-") else " "  # or it reads as another flag
    return f"--{name.replace('_', '-')}{between}{shlex.quote(value)}"


def snippet(of: Experiment, *, export: str = "pruned-model") -> str:
    """Return the Python that repeats the experiment, from loading to saving."""
    of_default = Experiment()
    measures = ", ".join(
        f"{name}={getattr(of, name)!r}"
        for name in ("evaluation", "tasks", "benchmark")
        if getattr(of, name) != getattr(of_default, name)
    )
    names = ["CalibrationSpec", type(of.criterion).__name__, "Measures", "ModelSpec"]
    more = [f"{n[0].upper()}{n[1:]}Spec" for n in _sections_in(measures)]
    return "\n".join(
        [
            "import llmrank",
            "from llmrank import " + ", ".join(sorted([*names, *more, "PruningSpec"])),
            "",
            f"dense = llmrank.load({of.model!r})",
            f"stats = llmrank.calibrate(dense, {of.calibration!r})",
            *_scored(of),
            f"plan = llmrank.plan(scores, {of.pruning!r})",
            "pruned = llmrank.prune(dense, plan)",
            f"found = llmrank.compare(dense, pruned, Measures({measures}))",
            "print(llmrank.table(found))",
            f"print(llmrank.save(pruned, {export!r}).summary)",
        ]
    )


def _scored(of: Experiment) -> list[str]:
    """Write what the criterion reads beside the statistics, and the scoring."""
    lines, given, second = [], "", of.criterion.second_text
    if "gradients" in of.criterion.needs:
        lines += [f"gradients = llmrank.differentiate(dense, {of.calibration!r})"]
        given += ", gradients=gradients"
    if second is not None:
        beside = replace(of.calibration, calibration_text=second)
        lines += [f"second = llmrank.calibrate(dense, {beside!r})"]
        given += ", second=second"
    return [*lines, f"scores = llmrank.score(dense, stats, {of.criterion!r}{given})"]


def _sections_in(measures: str) -> list[str]:
    names = ("evaluation", "tasks", "benchmark")
    return [n.removesuffix("s") for n in names if f"{n}=" in measures]


def applicable(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters of criteria that are not the chosen one."""
    foreign = _foreign(CRITERIA[str(given.get("criterion", "llm-rank"))])
    return {name: value for name, value in given.items() if name not in foreign}


def _foreign(chosen: Any) -> set[str]:
    own = {o.name for o in options(chosen)}
    shared = {o.name for s in SECTIONS for o in options(spec_kinds()[s])}
    every = {o.name for n in CRITERIA for o in options(CRITERIA[n])}
    return every - own - shared


def _refuse_foreign(chosen: Any, given: Mapping[str, Any]) -> None:
    """A parameter that the criterion does not have would silently do nothing."""
    for name in sorted(_foreign(chosen) & set(given)):
        has = ", ".join(o.name for o in options(chosen)) or "no parameters"
        raise OptionError(f"criterion {chosen.name} has no {name}; it has: {has}")


def _built(kind: Any, given: Mapping[str, Any]) -> Any:
    values = {}
    for o in options(kind):
        flat = _FLAT_NAMES.get(o.name, o.name)
        if flat in given:
            value = given[flat]
            values[o.name] = o.parse(value) if isinstance(value, str) else value
    return kind(**values)
