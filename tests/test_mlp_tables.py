"""Own data for MLPs: what is read, and one sentence for all that is not."""

import io

import numpy as np
import pytest
import torch

from llmrank import mlp
from llmrank.errors import LLMRankError
from llmrank.mlp import tables


def csv(rows, head="a,b,label"):
    return "\n".join([head, *rows]).encode()


def good_rows(n=40):
    return [f"{i},{i * i},{'cat' if i % 2 else 'dog'}" for i in range(n)]


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_csv_is_split_and_standardised_by_its_training_rows():
    found = tables.of_content(csv(good_rows()), "pets.csv", seed=0)
    assert found.classes == ("cat", "dog")
    assert (len(found.train_y), len(found.test_y)) == (32, 8)
    assert found.shape is None
    assert found.train_x.mean(0).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert found.train_x.std(0).tolist() == pytest.approx([1, 1], abs=1e-5)
    trained = mlp.train(mlp.MLPSpec(widths="4", epochs=1), found)
    assert trained.network.sizes == (2, 4, 2)


def test_the_label_is_found_by_name_or_is_the_last_column_and_heads_may_lack():
    named = tables.of_content(
        csv([f"{i % 2},{i}" for i in range(20)], "y,a"), "t.csv", seed=0
    )
    assert named.classes == ("0", "1")
    bare = "\n".join(f"{i},1,{i % 3}" for i in range(30)).encode()
    assert tables.of_content(bare, "t.csv", seed=0).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (csv(["1,x,0", *["1,2,1"] * 30]), r"column 'b' holds text \('x'\)"),
        (
            csv(["1,,0", *["1,2,1"] * 30]),
            r"column 'b' lacks a value in row 1 \(1 in all",
        ),
        (csv(["1,2,", *["1,2,1"] * 30]), r"column 'label' lacks a value"),
        (csv(["1,inf,0", *["1,2,1"] * 30]), "or infinite"),
        (csv(["1,2,same"] * 30), "has 1 different label;"),
        (csv(["1,2,0", "1,2,1", "1,3,0"]), "has 3 rows; at least 20"),
        (csv([f"1,2,{i}" for i in range(300)]), "300 different labels"),
        (csv([*["1,2,0"] * 30, "1,2,7"]), "class '7' 1 times"),
        (csv(["1"] * 30, "label"), "one column"),
        (csv([f"{i},1e300,{i % 2}" for i in range(30)]), r"numbers beyond ±1e[+]30"),
        (b"", "is no CSV table"),
        (b"\xff\xfe\x00binary", "is no CSV table"),
        (b"a,label\n" + b"1,0\n" * 1_000_000, "1,000,001 rows and at most 100,000"),
    ],
)
def test_tables_that_cannot_be_learnt_from_are_refused(content, said):
    with pytest.raises(LLMRankError, match=said):
        tables.of_content(content, "t.csv", seed=0)


def test_pictures_of_an_npz_keep_their_shape_and_lie_in_the_unit():
    x = np.arange(40 * 12, dtype=np.uint8).reshape(40, 2, 2, 3)
    found = tables.of_content(npz(X=x, labels=np.arange(40) % 2), "p.npz", seed=0)
    assert found.shape == mlp.Shape(2, 2, 3)
    assert float(torch.cat([found.train_x, found.test_x]).max()) == 1
    flat = tables.of_content(
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
        tables.of_content(npz(**arrays), "t.npz", seed=0)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_unread(monkeypatch):
    monkeypatch.setattr(tables, "MAX_VALUES", 1000)
    packed = io.BytesIO()
    np.savez_compressed(packed, x=np.zeros((30, 1000)), y=np.arange(30) % 2)
    with pytest.raises(LLMRankError, match="keep a sample"):
        tables.of_content(packed.getvalue(), "t.npz", seed=0)


def test_other_files_are_refused():
    with pytest.raises(LLMRankError, match=r"neither a \.csv nor a \.npz"):
        tables.of_content(b"", "t.pkl", seed=0)
    with pytest.raises(LLMRankError, match=r"is no \.npz file"):
        tables.of_content(b"PK not really", "t.npz", seed=0)


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
