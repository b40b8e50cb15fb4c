"""The command line: what it prints where, what it writes, what it refuses."""

import contextlib
import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import save_folder, tiny_model
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import llmrank
from llmrank.__main__ import main
from llmrank.cli.terminal import ProgressBar, finite
from llmrank.core.formatting import number, times
from llmrank.core.specs import options
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import CRITERIA
from llmrank.methods.method import PARTS
from llmrank.models.language_model import ModelSpec

ROOT = Path(__file__).parents[2]


TOP = {
    "model", "criterion", "pruning", "calibration", "environment", "dense", "pruned",
}  # fmt: skip
SIDE = {
    "perplexity", "top1", "tasks", "prefill_ms", "decode_ms", "n_params",
    "n_ffn_neurons", "widths", "weight_bytes", "macs_per_token",
}  # fmt: skip


@dataclasses.dataclass
class Ran:
    status: int
    out: str
    err: str


def command(*words):
    """Run a command here, with its output caught."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return Ran(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def texts(tiny_text):
    return ["--calibration-text", tiny_text, "--eval-text", tiny_text]


@pytest.fixture(scope="module")
def small(tiny_folder, texts):
    """Arguments of an experiment that takes seconds."""
    return [
        *("--model", tiny_folder, "--device", "cpu", *texts),
        *("--samples", 4, "--seq-len", 64, "--eval-tokens", 1024),
    ]


@pytest.fixture(scope="module")
def as_it_is(tiny_folder, tiny_text):
    """Arguments of an evaluation that takes seconds."""
    return [
        *("--model", tiny_folder, "--device", "cpu"),
        *("--eval-text", tiny_text, "--eval-tokens", 1024),
    ]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    return tmp_path_factory.mktemp("exports") / "smaller"


@pytest.fixture(scope="module")
def ran(small, export):
    """The whole job once; it measures peak memory in two processes of their own."""
    return command(
        *("run", *small, "--sparsity", 0.5, "--theta", 0.25, "--seed", 3),
        *("--allocation", "uniform", "--repair", "none"),
        *("--prompt-tokens", 8, "--new-tokens", 2, "--repeats", 2),
        *("--tasks", "piqa", "--items", 4, "--export", export, "--json", "-"),
    )


@pytest.fixture(scope="module")
def report(ran):
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


# run


def test_run_prints_one_json_object_and_nothing_else(ran):
    assert ran.status == 0
    assert ran.out.startswith("{\n")
    assert ran.out.endswith("}\n")
    assert isinstance(json.loads(ran.out), dict)


def test_run_reports_all_that_was_promised(report):
    """The keys of issue 2, section 2."""
    assert set(report) >= TOP
    for side in (report["dense"], report["pruned"]):
        assert set(side) >= SIDE
        for name in ("perplexity", "top1"):
            assert {"value", "low", "high", "n_tokens"} <= set(side[name])
            assert side[name]["low"] <= side[name]["value"] <= side[name]["high"]
            assert side[name]["n_tokens"] == 1024
        assert {"acc", "acc_norm", "stderr", "n_items"} <= set(side["tasks"]["piqa"])
        assert side["tasks"]["piqa"]["n_items"] == 4
        for name in ("prefill_ms", "decode_ms"):
            assert 0 < side[name]["median"] <= side[name]["p90"]


def test_run_reports_the_models_that_were_measured(report, small):
    lm = llmrank.load(ModelSpec(name=str(small[1]), device="cpu"))
    assert report["dense"]["n_params"] == 12144
    assert report["dense"]["widths"] == [24, 24]
    assert report["pruned"]["widths"] == [12, 12]
    assert report["pruned"]["n_ffn_neurons"] == 24
    assert report["pruned"]["n_params"] == 12144 - 2 * 12 * 3 * 16
    text = EvaluationSpec(eval_text=str(small[7]), eval_tokens=1024)
    found = evaluate(lm, text)
    assert report["dense"]["perplexity"]["value"] == found.perplexity.value
    assert report["dense"]["top1"]["value"] == found.top1.value


def test_run_reports_what_was_asked_for(report):
    assert report["criterion"]["theta"] == 0.25
    assert report["pruning"] == {"sparsity": 0.5, "multiple_of": 1}
    seeds = [report[p]["seed"] for p in ("calibration", "benchmark")]
    assert [*seeds, report["tasks"]["items_seed"]] == [3, 3, 3]
    assert report["environment"]["torch"] == torch.__version__


def test_run_exports_what_it_measured(ran, report, export, small):
    assert str(export) in ran.err
    assert (
        "bit-identical logits. The weights are in float32, the checkpoint's own"
        in ran.err
    )
    model = AutoModelForCausalLM.from_pretrained(export)
    assert model.config.intermediate_size == 12
    opened = llmrank.load(ModelSpec(name=str(export), device="cpu"))
    found = evaluate(opened, EvaluationSpec(eval_text=str(small[7]), eval_tokens=1024))
    assert found.perplexity.value == report["pruned"]["perplexity"]["value"]


def test_the_exports_recipe_repeats_the_run(report, export):
    recipe = json.loads((export / "llmrank.json").read_text("utf-8"))["recipe"]
    again = Experiment.from_json(recipe)
    assert again.pruning.sparsity == report["pruning"]["sparsity"]
    assert again.to_json()["criterion"] == report["criterion"]


def test_progress_goes_to_stderr_after_the_estimate(ran, small):
    lines = ran.err.splitlines()
    estimate = f"{small[1]} needs about 0.00 GB of memory (dense 0.00"
    place = next(i for i, line in enumerate(lines) if line.startswith(estimate))
    steps = [line for line in lines if line.endswith(" ...")]
    assert steps[0].startswith("Loading ")
    assert lines.index(steps[0]) > place
    assert "Calibrating ..." in steps
    assert "\x1b" not in ran.err


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_run_prints_a_table_beside_a_json_file(small, tmp_path):
    target = tmp_path / "report.json"
    ran = command(
        *("run", *small, "--prompt-tokens", 4, "--new-tokens", 1, "--repeats", 2),
        *("--allocation", "uniform", "--json", target),
    )
    assert ran.status == 0, ran.err
    assert json.loads(target.read_text("utf-8"))["pruned"]["widths"] == [17, 17]
    table = ran.out.splitlines()
    assert table[0].split() == ["dense", "pruned"]
    assert any(line.split() == ["FFN", "neurons", "48", "34"] for line in table)
    measured = json.loads(target.read_text("utf-8"))
    (peaks,) = [line.split()[-2:] for line in table if line.startswith("peak memory")]
    assert peaks == [
        number((m["peak_bytes"] - m["baseline_bytes"]) / 1e6)
        for m in (measured[side]["peak_memory"] for side in ("dense", "pruned"))
    ]
    faster = measured["ratios"]["speedup"]["prefill"]["measured"]
    assert f"refill {times(faster)} [" in ran.out
    assert "differ from the ratio of the two medians" in table[-1]


# score


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_score_writes_scores_and_statistics(small, tmp_path, criterion):
    out = tmp_path / "scores.safetensors"
    ran = command("score", *small, "--criterion", criterion, "--out", out)
    assert ran.status == 0, ran.err
    said = f"48 neurons in 2 layers, statistics of 256 tokens: {out}\n"
    assert ran.out == said
    stored = load_file(out)
    names = ("scores", "input_norm", "up_norm", "neuron_norm", "output_norm")
    assert set(stored) == {f"layers.{i}.{n}" for i in (0, 1) for n in names}
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    e = Experiment.from_json(json.loads(metadata["recipe"]))
    assert e.method.criterion.name == criterion
    lm = llmrank.load(e.model)
    stats, gradients, second = Pipeline().evidence.collect(e)
    assert metadata["text_sha256"] == stats.text_sha256
    more = {"gradients": gradients, "second": second}
    expected = llmrank.score(lm, stats, e.method.criterion, **more).layers
    for i in (0, 1):
        assert torch.equal(stored[f"layers.{i}.scores"], expected[i].float())
        assert torch.equal(stored[f"layers.{i}.up_norm"], stats.layers[i].up_norm)


def test_score_overwrites_nothing(small, tmp_path):
    out = tmp_path / "mine.safetensors"
    out.write_text("precious")
    ran = command("score", *small, "--out", out)
    assert ran.status == 2
    assert ran.err == f"error: {out} exists already and is not overwritten\n"
    assert out.read_text() == "precious"


# evaluate


def test_evaluate_measures_the_model_as_it_is(as_it_is, tmp_path):
    target = tmp_path / "dense.json"
    asked = ("--tasks", "arc_easy,piqa", "--items", 3, "--json", target)
    ran = command("evaluate", *as_it_is, *asked)
    assert ran.status == 0, ran.err
    plain = json.loads(target.read_text("utf-8"))
    assert plain["n_params"] == 12144
    assert list(plain["tasks"]) == ["arc_easy", "piqa"]
    assert plain["perplexity"]["n_tokens"] == 1024
    assert plain["model"]["name"] == str(as_it_is[1])
    assert "prefill_ms" not in plain
    printed = dict(line.rsplit(None, 1) for line in ran.out.splitlines())
    assert printed["parameters"] == "12,144"


def test_evaluate_can_print_json(as_it_is):
    ran = command("evaluate", *as_it_is, "--json", "-")
    assert json.loads(ran.out)["widths"] == [24, 24]


USED = {
    "help", "json", "model", "dtype", "device", "revision", "bos", "control-tokens",
    "eval-text", "eval-tokens", "tasks", "items", "seed",
}  # fmt: skip


def test_evaluate_lists_and_takes_only_what_it_uses(as_it_is, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    listed = re.findall(r"^ +(?:-h, )?--([a-z-]+)", capsys.readouterr().out, re.M)
    assert set(listed) == USED
    with pytest.raises(SystemExit):
        command("evaluate", *as_it_is, "--theta", 0.5)


# criteria, help


def test_methods_lists_each_part_with_its_parameters():
    ran = command("methods")
    assert ran.status == 0
    assert ran.err == ""
    lines = ran.out.splitlines()
    for part, registry in PARTS.items():
        start = lines.index(f"{part}, one of:")
        for name in registry:
            here = enumerate(lines[start:], start)
            head = next(n for n, line in here if line.startswith(f"  {name}: "))
            assert lines[head].endswith((".", ",", ":"))
            for place, o in enumerate(options(registry[name]), start=head + 1):
                flag = o.name.replace("_", "-")
                assert lines[place].startswith(f"      --{flag} (default {o.default!r}")


def test_a_target_takes_the_place_of_the_sparsity(as_it_is):
    ran = command("run", *as_it_is, "--target", "size=1e-9")
    assert ran.status == 2
    assert ran.err.splitlines()[-1].startswith("error: Not to be had: 1e-09 MB of")


@pytest.mark.parametrize("words", [["--help"], ["methods", "--help"]])
def test_help_does_not_wait_for_torch(words):
    code = (
        "import sys\nfrom llmrank.__main__ import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT
    )
    assert ran.returncode == 0
    assert "usage: python -m llmrank" in ran.stdout
    assert ran.stderr == "False\n"


# Refusals


REFUSED = [
    (["--theta", "1.5"], "theta must lie in [0, 1], got 1.5"),
    (["--theta=-0.5"], "theta must lie in [0, 1], got -0.5"),
    (["--gamma", "nan"], "gamma must lie in [0, 1], got nan"),
    (["--gamma", "a half"], "gamma must lie in [0, 1], got 'a half'"),
    (["--sparsity", "1"], "sparsity must lie in [0, 1), got 1.0"),
    (["--sparsity", "30%"], "sparsity must lie in [0, 1), got '30%'"),
    (["--graph", "round"], "graph must be one of isolated, chained, got 'round'"),
    (["--allocation", "x"], "unknown allocation 'x'; there are: uniform, global, "),
    (["--criterion", "x"], "unknown criterion 'x'; there are: llm-rank, activation"),
    (["--criterion", "l1", "--theta", "0"], "criterion l1 has no theta; it has: wei"),
    (["--batch", "0"], "batch must be a whole number and lie in [1, 1024], got 0"),
    (["--items", "1.5"], "items must be a whole number and lie in [2, 20000], got"),
    (["--eval-tokens", "100"], "eval_tokens must be a whole number and lie in [1024"),
    (["--dtype", "int8"], "dtype must be one of float32, bfloat16, float16, got"),
    (["--tasks", "piqa,what"], "unknown task 'what'; there are: "),
    (["--model", "/nonexistent"], "there is no /nonexistent; give a folder"),
    (["--eval-text", "/nonexistent"], "/nonexistent cannot be read (No such file"),
    (["--calibration-text", "/"], "/ is no file; give a UTF-8 text file, or emb"),
    (["--json", "/nonexistent/x"], "the folder of /nonexistent/x does not exist"),
    (["--json", "/"], "/ is a folder; name a file in it"),
]  # fmt: skip


FOREIGN = ("theta", "gamma", "sparsity", "graph", "allocation", "criterion", "batch")
"""What evaluating a model as it is has no use for."""


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        *(("run", *refused) for refused in REFUSED),
        *(
            ("evaluate", *refused)
            for refused in REFUSED
            if not re.match(f"--({'|'.join(FOREIGN)}|calibration)", refused[0][0])
        ),
    ],
)
def test_a_bad_argument_is_one_sentence_before_any_work(
    small, as_it_is, name, words, said
):
    """Later arguments win over earlier ones, so each is put last."""
    ran = command(name, *(small if name == "run" else as_it_is), *words)
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith(f"error: {said}")
    assert ran.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_a_model_of_short_context_is_measured_and_the_table_says_how(tmp_path, texts):
    sizes = {"max_position_embeddings": 48}
    folder = save_folder(tiny_model("llama", **sizes), tmp_path / "short")
    ran = command(
        *("run", "--model", folder, "--device", "cpu", *texts),
        *("--samples", 4, "--seq-len", 64, "--eval-tokens", 1024),
        *("--prompt-tokens", 4, "--new-tokens", 1, "--repeats", 2),
    )
    assert ran.status == 0, ran.err
    assert "Calibration: windows of 48 tokens, all that the model takes." in ran.out
    assert "windows of 48 tokens (all that the model takes)" in ran.out


@pytest.mark.parametrize("name", ["run", "score"])
def test_targets_are_refused_before_any_work(small, tmp_path, name):
    (tmp_path / "mine.txt").write_text("precious")
    flag = {"run": "--export", "score": "--out"}[name]
    ran = command(name, *small, flag, tmp_path)
    assert ran.status == 2
    assert ran.err.startswith(f"error: {tmp_path} is ")
    assert ran.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "words", [[], ["what"], ["run", "--what", "1"], ["run", "--theta"], ["score"]]
)
def test_a_command_that_cannot_be_read_ends_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: " in err.splitlines()[-1]


def test_options_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit):
        main(["run", "--spars", "0.5", "--model", "/nonexistent"])
    assert "unrecognized arguments: --spars" in capsys.readouterr().err


def test_the_process_itself_ends_with_the_status(tmp_path):
    """Without the test's type checks: a fresh interpreter, a real exit status."""
    ran = subprocess.run(
        [sys.executable, "-m", "llmrank", "run", "--model", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"error: {tmp_path} holds no model: config.json is")
    assert ran.stderr.count("\n") == 1


class Interrupting(io.StringIO):
    def write(self, _):
        raise KeyboardInterrupt


def test_an_interrupt_is_told_and_has_its_status():
    err = io.StringIO()
    with contextlib.redirect_stdout(Interrupting()), contextlib.redirect_stderr(err):
        assert main(["methods"]) == 130
    assert err.getvalue() == "stopped; nothing half-written was left\n"


# Small parts


def test_json_has_no_numbers_that_json_does_not_know():
    value = {"a": float("nan"), "b": [float("inf"), 1.5, (2, -float("inf"))], "c": "x"}
    plain = finite(value)
    assert plain == {"a": None, "b": [None, 1.5, [2, None]], "c": "x"}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_screen_and_leaves_no_trace(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    bar = ProgressBar()
    bar("Calibrating", 1, 2)
    assert screen.getvalue() == "\r\x1b[2K" + "█" * 12 + "·" * 12 + " 1/2 Calibrating"
    bar("Nothing", 0, 0)
    bar.clear()
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_progress_is_a_line_a_step_elsewhere(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    bar = ProgressBar()
    for done in range(3):
        bar("Loading", done, 2)
    bar("Calibrating", 0, 9)
    bar.clear()
    assert log.getvalue() == "Loading ...\nCalibrating ...\n"


def test_the_papers_experiment_says_what_it_reads_of_an_own_file(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{i},{i % 7},{i % 2}" for i in range(60)]
    path.write_text("\n".join([",a,label", *rows]), "utf-8")
    small = ("mlp", "--networks", "8", "--seeds", 1, "--epochs", 1, "--sets")
    ran = command(*small, path)
    assert ran.status == 0
    assert "60 rows × 1 feature, 2 classes in `label`; left out: `column 1`" in ran.err
    path.write_text("a,label\n", "utf-8")
    ran = command(*small, path)
    assert ran.status == 2
    assert "mine.csv has 0 rows" in ran.err


def test_the_papers_experiment_gives_its_figure_table_and_record(tmp_path):
    small = ("mlp", "--sets", "digits", "--networks", "8", "--seeds", 1, "--epochs", 1)
    names = {"figure": "kept.html", "csv": "kept.csv", "json": "kept.json"}
    files = {flag: tmp_path / name for flag, name in names.items()}
    flags = [word for flag, path in files.items() for word in (f"--{flag}", path)]
    ran = command(*small, *flags)
    assert ran.status == 0
    assert "digits, 1 network: accuracy kept, per cent" in ran.out
    page = files["figure"].read_text("utf-8")
    assert "<html>" in page
    assert "mlp-rank" in page
    assert not re.search(r"<script[^>]*\ssrc=", page)  # it opens without a network
    rows = files["csv"].read_text("utf-8").splitlines()
    points = json.loads(files["json"].read_text("utf-8"))["points"]
    assert len(rows) == len(points) + 1
    again = command(*small, *flags)
    assert again.status == 2
    assert "exists already and is not overwritten" in again.err
