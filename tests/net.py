"""What no move may change: recorded once by the old code, compared ever after.

    python tests/net.py FOLDER              # records the first time, then compares
    python tests/net.py FOLDER --demo       # on the embedded model too (a minute)

A tiny random model, its text, a database, a search and the record lie in the folder.
On it: the scores of every criterion, the plans of every allocation, the weights after
every repair, what an export writes, `run --json -` and an arena's CSV without what a
clock says, `methods`, every page's words, tables and charts, and every parameter of a
link. A database and a search that the old code wrote are opened by the new.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

PAGES = (
    "app.py", "pages/explore.py", "pages/prune.py", "pages/compare.py",
    "pages/scores.py", "pages/graph.py", "pages/arena.py", "pages/runs.py",
    "pages/lesson.py", "pages/mlp_lab.py",
)  # fmt: skip
METHODS = (
    "llm-rank", "llm-rank:graph=chained", "activation", "wanda", "l1", "l2", "random",
    "reverse-rank", "gprune", "transact", "flap", "cfsp", "taylor", "gblm",
    "llm-rank+global", "flap+standardised", "wanda+pq-index", "wanda+effective",
    "cfsp+block-influence", "wanda+similarity", "wanda+additive",
    "llm-rank+search:evaluations=4", "l1+by-hand:kept=20 9", "wanda+bias",
    "wanda+least-squares", "wanda+additive+least-squares-sequential",
)  # fmt: skip
ON_DEMO = ("llm-rank", "wanda+global", "taylor", "wanda+least-squares")

CLOCKED = (
    "measured_at", "prefill_ms", "decode_ms", "speedup", "peak_memory", "ratios",
    "device", "n_threads", "processor", "machine", "python", "torch", "transformers",
)  # fmt: skip
"""Fields of a report that tell of the machine and the moment."""

VARYING = (
    (r"\d[\d.,]* (GB|MB) (are |is )?free", "… free"),
    (r"about \d[\d.,]* (s|min|h)\b", "about …"),
    (r"\d[\d.,]* (ms|s|tokens/s)\b", "…"),
    (r"\d{4}-\d\d-\d\d[T ][\d:]+(\+[\d:]+| UTC)?", "…"),
    (r"\b[0-9a-f]{32}\b", "…"),
)
"""What a page says that is another each time."""


def digest(*parts: Any) -> str:
    """Return a short hash of tensors, bytes and whatever has a repr."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, torch.Tensor):
            values = part.detach().contiguous().flatten().view(torch.uint8)
            found.update(repr((part.dtype, tuple(part.shape))).encode())
            found.update(values.numpy().tobytes())
        else:
            found.update(part if isinstance(part, bytes) else repr(part).encode())
    return found.hexdigest()[:16]


def command(*words: Any) -> str:
    """Run a command here and return what it prints."""
    from llmrank.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    if status:
        raise RuntimeError(f"{words}: {err.getvalue()}")
    return out.getvalue()


def unclocked(value: Any) -> Any:
    """Return a report without what a clock or the machine says."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not k.endswith(CLOCKED)}
        return {name: unclocked(v) for name, v in kept.items()}
    if isinstance(value, list):
        return [unclocked(v) for v in value]
    return value


class Net:
    """One recording: on a model and a text in a folder, with files of its own."""

    def __init__(self, home: Path, scratch: Path, model: str, text: str) -> None:
        self.home, self.scratch, self.model = home, scratch, model
        self.text = text
        self.small = [
            *("--model", model, "--device", "cpu", "--samples", 4, "--seq-len", 64),
            *("--calibration-text", text, "--eval-text", text, "--eval-tokens", 1024),
        ]
        self.quick = ["--prompt-tokens", 4, "--new-tokens", 1, "--repeats", 2]

    def criteria(self) -> dict[str, Any]:
        """The scores file of every criterion, as `score` writes it."""
        found = {}
        for name in registered("criterion"):
            file = self.scratch / f"{name}.safetensors"
            command("score", *self.small, "--criterion", name, "--out", file)
            named = sorted(load_file(file).items())
            found[name] = {key: digest(value) for key, value in named}
        return found

    def methods(self, methods: tuple[str, ...]) -> dict[str, Any]:
        """The kept neurons and the weights that each method leaves."""
        from llmrank.calibration.activations import CalibrationSpec
        from llmrank.experiments.experiment import Experiment
        from llmrank.experiments.pipeline import Pipeline
        from llmrank.methods.method import method
        from llmrank.methods.pruning import PruningSpec
        from llmrank.models.language_model import ModelSpec

        pipeline, found = Pipeline(), {}
        model = ModelSpec(name=self.model, device="cpu")
        read = CalibrationSpec(calibration_text=self.text, samples=4, seq_len=64)
        for words in methods:
            asked = Experiment(model, read, method(words), PruningSpec(0.3))
            plan = pipeline.plan(asked)
            weights = pipeline.pruned(asked).model.state_dict()
            found[words] = {
                "widths": list(plan.widths),
                "kept": digest(*plan.keep),
                "weights": digest(*(weights[name] for name in sorted(weights))),
            }
        return found

    def run(self) -> dict[str, Any]:
        """The report of a run, and the files of its export."""
        target = self.scratch / "export"
        told = command(
            *("run", *self.small, *self.quick, "--json", "-", "--export", target)
        )
        files = {}
        for file in sorted(target.iterdir()):
            content = file.read_bytes().replace(str(target).encode(), b"")
            files[file.name] = digest(content)
        return {"report": unclocked(json.loads(told)), "files": files}

    def arena(self, db: Path) -> list[str]:
        """The CSV of an arena over every part of a method."""
        methods = ",".join(METHODS)
        csv = command(
            *("arena", "--models", self.model, *self.small[2:], "--methods", methods),
            *("--sparsities", "0.3", "--measures", "text", "--db", db, "--csv", "-"),
        )
        lines = csv[csv.index("model,") :].splitlines()
        return [re.sub(VARYING[3][0], "…", line) for line in lines]

    def pages(self) -> dict[str, Any]:
        """What every page says, draws and hands to its canvas."""
        link = {
            "model": self.model, "device": "cpu", "samples": "2", "seq_len": "64",
            "calibration_text": self.text, "eval_text": self.text,
            "eval_tokens": "1024", "sparsity": "0.5",
        }  # fmt: skip
        return {page: page_of(page, link, self.home) for page in PAGES}


def registered(part: str) -> list[str]:
    """List the names of a part of a method, as `methods` prints them."""
    _, told = command("methods").split(f"{part}, one of:\n")
    return re.findall(r"^  ([a-z0-9-]+):", told.split(", one of:")[0], re.M)


def page_of(page: str, link: dict[str, str], home: Path) -> dict[str, Any]:
    """Open a page by a link, have the model read, and take down what is there."""
    from visitor import open_page, read

    at = open_page(page, **link)
    if page not in ("pages/lesson.py", "pages/mlp_lab.py"):
        at = read(at)
    assert not at.exception, at.exception
    words = [
        f"{kind}: {varied(str(element.value), home)}"
        for kind in ("header", "subheader", "markdown", "caption", "info", "warning",
                     "error", "code", "latex", "text")
        for element in at.get(kind)
    ]  # fmt: skip
    words += [f"metric: {m.label} {varied(str(m.value), home)}" for m in at.metric]
    for kind in ("button", "selectbox", "slider", "toggle", "checkbox", "text_input"):
        words += [f"{kind}: {element.label}" for element in at.get(kind)]
    return {
        "words": words,
        "tables": [digest(d.value.to_csv()) for d in at.dataframe],
        "charts": [digest(c.proto.SerializeToString()) for c in charts(at)],
        "canvas": [digest(canvas(c, home)) for c in at.get("bidi_component")],
    }


def charts(at: Any) -> Iterator[Any]:
    """Yield the charts; the ids that Streamlit gives them say where their code lies."""
    for chart in at.get("plotly_chart"):
        chart.proto.id = ""
        yield chart


def canvas(component: Any, home: Path) -> str:
    """Return what a component is given, without folders."""
    proto = component.proto
    kind = proto.WhichOneof("data")
    if kind == "json":
        return varied(proto.json, home)
    return hashlib.sha256(getattr(proto, kind) if kind else b"").hexdigest()


def varied(text: str, home: Path) -> str:
    """Mask what is another each time, and where the folder lies."""
    text = text.replace(str(home), "").replace("\\", "")
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    return text


def links() -> dict[str, str]:
    """Every setting of a link with its default."""
    from llmrank.experiments.settings import declared

    return {name: repr(option.default) for name, option in declared().items()}


def prepared(home: Path) -> None:
    """Make the model, its text and the folders where they are not there yet."""
    from conftest import TEXT, save_folder, tiny_model

    (home / "cache").mkdir(parents=True, exist_ok=True)
    if not (home / "model").exists():
        save_folder(tiny_model(), home / "model")
        (home / "mill.txt").write_text(TEXT[:6000], "utf-8")


def recorded(home: Path, scratch: Path, *, demo: bool) -> dict[str, Any]:
    """Record everything; a database and searches that are there are opened."""
    net = Net(home, scratch, str(home / "model"), str(home / "mill.txt"))
    parts: dict[str, Callable[[], Any]] = {
        "methods": lambda: command("methods").splitlines(),
        "links": links,
        "arena": lambda: net.arena(scratch / "results.sqlite3"),
        "criteria": net.criteria,
        "pruned": lambda: net.methods(METHODS),
        "run": net.run,
        "pages": net.pages,
    }
    if demo:
        (scratch / "demo").mkdir()
        embedded = Net(home, scratch / "demo", "demo", "embedded")
        parts |= {
            "demo criteria": embedded.criteria,
            "demo pruned": lambda: embedded.methods(ON_DEMO),
        }
    found = {}
    for name, part in parts.items():
        sys.stdout.write(f"{name}\n")
        found[name] = part()
    searches = (scratch / "cache" / "searches").glob("*.json")
    return found | {"searches": sorted({digest(s.read_bytes()) for s in searches})}


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Say where two records are apart."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted({*old, *new}):
            yield from differences(old.get(name), new.get(name), f"{where}/{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{where}[{i}]")
    elif old != new:
        yield f"{where}: {str(old)[:300]!r} is now {str(new)[:300]!r}"


def main() -> int:
    """Record, or compare with what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--demo", action="store_true")
    options = parser.parse_args()
    home = options.folder.absolute()
    record = home / ("record-demo.json" if options.demo else "record.json")
    torch.set_num_threads(1)
    prepared(home)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        shutil.copytree(home / "cache", scratch / "cache")
        if (home / "results.sqlite3").exists():
            shutil.copy(home / "results.sqlite3", scratch)
        os.environ["LLMRANK_CACHE"] = str(scratch / "cache")
        os.environ["LLMRANK_DB"] = str(scratch / "results.sqlite3")
        if options.demo:  # converted once, and not copied
            os.environ.pop("LLMRANK_CACHE")
        found = recorded(home, scratch, demo=options.demo)
        if not record.exists():
            record.write_text(json.dumps(found, indent=1, ensure_ascii=False))
            shutil.copytree(scratch / "cache", home / "cache", dirs_exist_ok=True)
            shutil.copy(scratch / "results.sqlite3", home)
            sys.stdout.write(f"recorded in {record}\n")
            return 0
    apart = list(differences(json.loads(record.read_text()), json_like(found)))
    sys.stdout.write("\n".join(apart or ["nothing changed"]) + "\n")
    return len(apart) > 0


def json_like(value: Any) -> Any:
    """Return a value as it comes back from JSON."""
    return json.loads(json.dumps(value))


if __name__ == "__main__":
    sys.exit(main())
