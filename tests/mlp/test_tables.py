"""Own data for MLPs: what is read, and one sentence for all that is not."""

import io
import os
import subprocess
import sys
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch

from llmrank import mlp
from llmrank.core.errors import LLMRankError
from llmrank.mlp import arrays, tables


def csv(rows, head="a,b,label"):
    return "\n".join([head, *rows]).encode()


def good_rows(n=40):
    return [f"{i},{i * i},{'cat' if i % 2 else 'dog'}" for i in range(n)]


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_csv_is_split_and_standardised_by_its_training_rows():
    found = tables.read_content(csv(good_rows()), "pets.csv", seed=0)
    assert found.classes == ("cat", "dog")
    assert (len(found.train_y), len(found.test_y)) == (32, 8)
    assert found.shape is None
    assert found.train_x.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert found.train_x.std(0).tolist() == pytest.approx([1, 1], abs=1e-5)
    trained = mlp.train(mlp.MLPSpec(widths="4", epochs=1), found)
    assert trained.network.sizes == (2, 4, 2)


def test_the_label_is_found_by_name_or_is_the_last_column_and_heads_may_lack():
    named = tables.read_content(
        csv([f"{i % 2},{i}" for i in range(20)], "y,a"), "t.csv", seed=0
    )
    assert named.classes == ("0", "1")
    bare = "\n".join(f"{i},1,{i % 3}" for i in range(30)).encode()
    assert tables.read_content(bare, "t.csv", seed=0).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (csv(["1,x,0", *["1,2,1", "1,2,0"] * 30]), r"column 'b' holds text \('x'\)"),
        (csv(["1,,0", *["1,2,1"] * 30]), r"column 'b' lacks a value in row 1;"),
        (csv(["1,2,", *["1,2,1"] * 30]), "column 'label', the label, lacks a value"),
        (csv(["1,1e400,0", *["1,2,1", "1,2,0"] * 30]), "'b' holds .* or infinite"),
        (csv(["1,2,same"] * 30), "has 1 different label;"),
        (csv(["1,2,0", "1,2,1", "1,3,0"]), "has 3 rows; at least 20"),
        (csv([f"1,2,{i}" for i in range(300)]), "300 different labels"),
        (csv([f"1,2,c{i}" for i in range(300)]), "300 different labels"),
        (csv([f"1,2,{i / 7}" for i in range(300)]), "300 different numbers"),
        (csv([*["1,2,0"] * 30, "1,2,7"]), "class '7' 1 times"),
        (csv(["1"] * 30, "label"), "one column"),
        (
            csv([f"{i},1e300,{i % 2}" for i in range(30)]),
            r"'b' holds numbers beyond ±1e[+]30",
        ),
        (b"", "is no CSV table"),
        (b"\xff\xfe\x00binary", "is no CSV table"),
        (b"a,label\n" + b"1,0\n" * 1_000_000, "more than the 100,000 rows of 2"),
    ],
)
def test_tables_that_cannot_be_learnt_from_are_refused(content, said):
    with pytest.raises(LLMRankError, match=said):
        tables.read_content(content, "t.csv", seed=0)


def test_pictures_of_an_npz_keep_their_shape_and_lie_in_the_unit():
    x = np.arange(40 * 12, dtype=np.uint8).reshape(40, 2, 2, 3)
    found = tables.read_content(npz(X=x, labels=np.arange(40) % 2), "p.npz", seed=0)
    assert found.shape == mlp.Shape(2, 2, 3)
    assert float(torch.cat([found.train_x, found.test_x]).max()) == 1
    flat = tables.read_content(
        npz(x=x.reshape(40, -1), y=np.arange(40) % 2), "p.npz", seed=0
    )
    assert flat.shape is None


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones((30, 2))}, "must hold arrays x"),
        ({"x": np.ones((30, 2)), "y": np.ones(29)}, "one label for each"),
        (
            {"x": np.full((30, 2), -1e39), "y": np.arange(30) % 2},
            r"some beyond ±1e[+]30",
        ),
        ({"x": np.ones(30), "y": np.ones(30)}, r"x must be \[examples, features\]"),
        ({"x": np.full((30, 2), np.nan), "y": np.ones(30)}, r"missing \(NaN\)"),
        ({"x": np.full((30, 2), "a"), "y": np.ones(30)}, "must be numbers"),
        ({"x": np.ones((30, 2)), "y": np.full(30, np.nan)}, "labels"),
        ({"x": np.ones((30, 2)), "y": np.ones(30)}, "1 different label;"),
        ({"x": np.ones((200, 2)), "y": np.arange(200) / 7}, "200 different numbers"),
        ({"x": np.ones((100_001, 1)), "y": np.arange(100_001) % 2}, "100,001 rows"),
        ({"x": np.array([{}], dtype=object), "y": np.ones(1)}, "pickled objects"),
    ],
)
def test_arrays_that_cannot_be_learnt_from_are_refused(arrays, said):
    with pytest.raises(LLMRankError, match=said):
        tables.read_content(npz(**arrays), "t.npz", seed=0)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_unread(monkeypatch):
    monkeypatch.setattr(arrays, "MAX_VALUES", 1000)
    packed = io.BytesIO()
    np.savez_compressed(packed, x=np.zeros((30, 1000)), y=np.arange(30) % 2)
    with pytest.raises(LLMRankError, match="keep a sample"):
        tables.read_content(packed.getvalue(), "t.npz", seed=0)


def test_other_files_are_refused():
    with pytest.raises(LLMRankError, match=r"neither a \.csv or \.tsv nor a \.npz"):
        tables.read_content(b"", "t.pkl", seed=0)
    with pytest.raises(LLMRankError, match=r"is no \.npz file"):
        tables.read_content(b"PK not really", "t.npz", seed=0)


def test_an_upload_is_kept_under_its_hash_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    source = tables.keep(csv(good_rows()), "my pets.csv")
    assert source.startswith("upload:")
    found = mlp.examples(mlp.DataSpec(source))
    assert found.classes == ("cat", "dog")
    with pytest.raises(LLMRankError, match="this upload is another"):
        mlp.examples(mlp.DataSpec("upload:../../etc/passwd.csv"))
    with pytest.raises(LLMRankError, match="this upload is another"):
        mlp.examples(mlp.DataSpec("upload:0000.csv"))


@pytest.mark.parametrize("name", ["/dev/zero", "pipe.csv"])
def test_what_never_ends_is_not_read(tmp_path, name):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(LLMRankError, match="is no file; name a"):
        tables.read_source(str(tmp_path / name), seed=0)


@pytest.mark.parametrize("name", hostile.SMALL)
def test_a_file_that_breaks_readers_is_one_sentence(name):
    content, said = hostile.SMALL[name]
    with pytest.raises(LLMRankError, match=said) as told:
        tables.read_content(content, name, seed=0)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 300
    assert "/" not in str(told.value).replace("../", "")


LIMITED = """
import resource, time, hostile
from llmrank.core.errors import LLMRankError
from llmrank.mlp import tables
for name, made in hostile.LARGE.items():
    content, start = made(), time.monotonic()
    try:
        tables.read_content(content, name, seed=0)
        said = "read"
    except LLMRankError as error:
        said = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(name, time.monotonic() - start, peak / 1e6, said, sep="|")
"""


@pytest.mark.slow
def test_20_mb_of_anything_cost_neither_ten_seconds_nor_two_gigabytes():
    """In a process of its own, whose largest memory is its own."""
    paths = os.pathsep.join(
        [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    )
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": paths}, check=True,
    )  # fmt: skip
    told = [line.split("|") for line in ran.stdout.splitlines()]
    assert [line[0] for line in told] == list(hostile.LARGE)
    for name, seconds, gigabytes, said in told:
        assert float(seconds) < 10, (name, said)
        assert float(gigabytes) < 2, (name, said)
        assert said != "read", name


def lines(head, row, n=60):
    return "\n".join([head, *(row(i) for i in range(n))]).encode()


@pytest.mark.parametrize(
    ("content", "about"),
    [
        (
            lines(",a,label", lambda i: f"{i},{i % 7},{i % 2}"),
            "1 feature, 2 classes in `label`; left out: `column 1` (an index)",
        ),
        (
            lines("Unnamed: 0,a,label", lambda i: f"{i + 1},{i % 7},{i % 2}"),
            "1 feature, 2 classes in `label`; left out: `Unnamed: 0` (an index)",
        ),
        (  # shuffled before it was written
            lines(",a,label", lambda i: f"{7 * i % 60},{i % 7},{i % 2}"),
            "1 feature, 2 classes in `label`; left out: `column 1` (an index)",
        ),
        (
            lines("Id,a,label", lambda i: f"row-{i},{i % 7},{i % 2}"),
            "1 feature, 2 classes in `label`; left out: `Id` (an index)",
        ),
        (
            lines("0,3.5,1", lambda i: f"{i + 1},{i % 7},{i % 2}", 59),
            "1 feature, 2 classes in `column 3`; left out: `column 1` (an index)",
        ),
        (  # a name that is none of an index: it stays
            lines("hour,a,label", lambda i: f"{i},{i % 7},{i % 2}"),
            "2 features, 2 classes in `label`",
        ),
        (
            lines("0,1,2,label", lambda i: f"{2 * i},{i % 7},{i % 5},{i % 2}"),
            "3 features, 2 classes in `label`",
        ),
        (
            lines("0,1,2,3", lambda i: f"{2 * i},{i % 7},{i % 5},{i % 2}"),
            "3 features, 2 classes in `3`",
        ),
        (
            lines(",0,1", lambda i: f"{i},{i % 7},{i % 2}"),
            "1 feature, 2 classes in `1`; left out: `column 1` (an index)",
        ),
        (
            lines("a,y,label", lambda i: f"{i % 7},{i % 3},{i % 3}"),
            "1 feature, 3 classes in `label`; left out: `y` (a copy of the label)",
        ),
        (
            lines(
                "a,code,species,y",
                lambda i: f"{i % 7},{9 - i % 3},{'xyz'[i % 3]},{i % 3}",
            ),
            "1 feature, 3 classes in `y`; left out: `code` (a copy of the label), "
            "`species` (a copy of the label)",
        ),
        (
            lines(
                "a,p,q,y", lambda i: f"{i % 7},{+(i % 3 == 0)},{+(i % 3 == 1)},{i % 3}"
            ),
            "1 feature, 3 classes in `y`; left out: `p` (with others a copy of the "
            "label), `q` (with others a copy of the label)",
        ),
        (  # one alone leaves two classes to be told apart
            lines("a,p,y", lambda i: f"{i % 7},{+(i % 3 == 0)},{i % 3}"),
            "2 features, 3 classes in `y`",
        ),
        (  # almost unique: it parts the classes and is no copy of them
            lines("a,label", lambda i: f"{i % 2 + i / 1000},{i % 2}"),
            "1 feature, 2 classes in `label`",
        ),
        (  # coarser and finer than the label
            lines("a,b,label", lambda i: f"{i % 6},{i % 3 // 2},{i % 3}"),
            "2 features, 3 classes in `label`",
        ),
        (
            lines("a,b,label", lambda i: f"{i % 7},True,{i % 2}"),
            "2 features, 2 classes in `label`",
        ),
        (
            lines("a,b,label,", lambda i: f"{i % 7},,{i % 2},"),
            "1 feature, 2 classes in `label`; left out: `b` (empty), `column 4` "
            "(empty)",
        ),
        (
            lines("a;b;label", lambda i: f"{i % 7},5;-0,{i};{i % 2}"),
            "2 features, 2 classes in `label`; read with semicolons between cells and "
            "decimal commas",
        ),
        (
            lines("a\tb\tlabel", lambda i: f"{i % 7}.5\t{i}\tclass, {i % 2}"),
            "2 features, 2 classes in `label`; read with tabs between cells",
        ),
    ],
)
def test_a_line_says_what_was_read_and_what_was_left_out(content, about):
    found = tables.read_content(content, "t.csv", seed=0)
    assert found.about == f"60 rows × {about}"
    assert f"× {found.d_in} feature" in found.about


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_may_end_in_any_way_and_begin_with_a_mark(end, mark):
    plain = tables.read_content(hostile.TABLE.encode(), "t.csv", seed=0)
    other = (mark + hostile.TABLE.replace("\n", end) + end).encode()
    assert tables.read_content(other, "t.csv", seed=0).sha256 == plain.sha256


def test_decimal_commas_are_the_same_numbers():
    points = lines("a,b,label", lambda i: f"{i % 7}.25,-0.{i + 1},{i % 2}")
    commas = points.replace(b",", b";").replace(b".", b",")
    found = [tables.read_content(c, "t.tsv", seed=0).sha256 for c in (points, commas)]
    assert found[0] == found[1]


@pytest.mark.parametrize("missing", ["NA", "None", "nan", "NULL"])
def test_a_class_may_be_called_as_if_it_were_missing(missing):
    content = lines("a,b,label", lambda i: f"{i},{i % 7},{(missing, 'x')[i % 2]}")
    assert set(tables.read_content(content, "t.csv", seed=0).classes) == {missing, "x"}


def test_labels_are_numbers_if_all_of_them_are():
    content = lines(
        "a,b,label", lambda i: f"{i},{i % 7},{('10', '9', '1.0', '1')[i % 4]}"
    )
    assert tables.read_content(content, "t.csv", seed=0).classes == ("1", "9", "10")
    big = 2**70
    content = lines("a,b,label", lambda i: f"{i},{i % 7},{big + i % 2}")
    assert len(tables.read_content(content, "t.csv", seed=0).classes) == 2


def test_a_large_offset_or_rounding_does_not_blur_a_column():
    """In float32 a time in seconds since 1970 has steps of 128."""
    content = lines("t,b,label", lambda i: f"{1_700_000_000 + 3 * i},0.1,{i % 2}")
    found = tables.read_content(content, "t.csv", seed=0)
    assert len(found.train_x[:, 0].unique()) == 48
    assert found.train_x[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize(
    "changed",
    [
        lambda x: x.astype("f2"),
        lambda x: x.astype(">f8"),
        lambda x: x.astype("g"),
        np.asfortranarray,
        lambda x: (100 * x).astype("i8"),
        lambda x: x > 0,
    ],
)
def test_arrays_of_any_number_type_and_order_are_read(changed):
    x = changed(hostile.NOISE)
    found = tables.read_content(npz(x=x, y=hostile.LABELS), "t.npz", seed=0)
    plain = tables.read_content(
        npz(x=np.array(x, "f8", order="C"), y=hostile.LABELS), "t.npz", seed=0
    )
    assert found.sha256 == plain.sha256


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (2 * hostile.LABELS - 1, ("-1", "1")),
        (hostile.LABELS.astype(float), ("0", "1")),
        (np.array([b"cat", b"dog"] * 30), ("cat", "dog")),
        (np.array(["nan", "None"] * 30), ("None", "nan")),
        (hostile.LABELS > 0, ("False", "True")),
    ],
)
def test_labels_of_arrays_are_named(y, classes):
    found = tables.read_content(npz(x=hostile.NOISE, y=y), "t.npz", seed=0)
    assert found.classes == classes


def test_an_array_loses_its_index_and_copies_of_the_label():
    x = np.column_stack([np.arange(60), hostile.NOISE, 5 - hostile.LABELS])
    found = tables.read_content(npz(x=x, y=hostile.LABELS), "t.npz", seed=0)
    assert found.about == (
        "60 rows × 2 features, 2 classes; left out: `column 1` (an index), `column 4` "
        "(a copy of the label)"
    )
