"""Image sets of the hub, from a server on this machine that answers as it does."""

import io
import json
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hub_server import COMMIT, Handler, Server
from PIL import Image

from llmrank import mlp
from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.mlp import hub_datasets

REPO = "uoft-cs/cifar10"


class DataHandler(Handler):
    """What huggingface.co answers about a data set whose files lie in a folder."""

    def do_GET(self, body=True):
        path = self.path.split("?")[0]
        if path == f"/api/datasets/{REPO}/revision/main":
            self.answer({"id": REPO, "sha": COMMIT, "siblings": []})
        elif path.startswith(f"/api/datasets/{REPO}/tree/"):
            self.answer([self.entry(name) for name in self.server.files])
        elif path.startswith(f"/datasets/{REPO}/resolve/"):
            self.file(path.split("/")[-1], body)
        else:
            self.answer({"error": "Repository not found"}, 404)

    def entry(self, name):
        return super().entry(name) | {"path": f"plain_text/{name}"}


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write(path, pixels, labels):
    """Write a parquet file as `datasets` does: pictures as PNG, names in the schema."""
    names = [f"thing {i}" for i in range(10)]
    features = {"img": {"_type": "Image"}, "label": {"names": names}}
    said = json.dumps({"info": {"features": features}})
    table = pa.table({"img": [png(p) for p in pixels], "label": labels})
    parquet.write_table(table.replace_schema_metadata({"huggingface": said}), path)


@pytest.fixture
def served(tmp_path, monkeypatch):
    folder = tmp_path / "upstream"
    folder.mkdir()
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    labels = [i % 10 for i in range(50)]
    write(folder / "train-00000-of-00001.parquet", pixels[:40], labels[:40])
    write(folder / "test-00000-of-00001.parquet", pixels[40:], labels[40:])
    (folder / "script.py").write_text("raise SystemExit")
    server = Server(folder)
    server.RequestHandlerClass = DataHandler
    server.pixels = pixels
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_a_set_is_fetched_decoded_and_then_read_without_the_network(
    served, monkeypatch
):
    found = mlp.examples(mlp.DataSpec("cifar-10"))
    assert (len(found.train_y), len(found.test_y)) == (40, 10)
    assert found.shape == mlp.Shape(32, 32, 3)
    assert found.classes[3] == "thing 3"
    expected = served.pixels[40:].reshape(10, -1) / 255
    np.testing.assert_allclose(found.test_x.numpy(), expected, atol=1e-6)
    assert served.sent["script.py"] == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = mlp.examples(mlp.DataSpec("cifar-10"))
    assert again.sha256 == found.sha256
    trained = mlp.train(mlp.MLPSpec(widths="8", epochs=1), found)
    assert trained.network.sizes == (3072, 8, 10)


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_a_set_the_hub_does_not_have_or_a_hub_that_is_not_there_is_told(monkeypatch):
    with pytest.raises(LLMRankError, match="did not give the data set ylecun/mnist"):
        mlp.examples(mlp.DataSpec("mnist"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LLMRankError, match="or take data that is embedded"):
        mlp.examples(mlp.DataSpec("fashion-mnist"))

    def impatient(*_):
        raise CancelledError

    with pytest.raises(CancelledError):
        mlp.examples(mlp.DataSpec("mnist"), progress=impatient)


def test_files_that_are_not_what_is_expected_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_datasets.hub, "fetch_data", lambda *_, **__: tmp_path)
    with pytest.raises(LLMRankError, match="came without train files"):
        mlp.examples(mlp.DataSpec("cifar-10"))
    small = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    write(tmp_path / "train-0.parquet", small, [0, 1, 2, 3])
    with pytest.raises(LLMRankError, match="train files are not what is expected"):
        mlp.examples(mlp.DataSpec("cifar-10"))


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        ([b"\x89PNG\r\n\x1a\n broken"] * 2, [0, 1]),
        (None, [0, 10]),  # ten classes are 0 to 9
        (None, [0, -1]),
        (None, [0, None]),
        (None, [0.0, 1.0]),
        (None, ["cat", "dog"]),
        (None, []),
        ([None, None], [0, 1]),
        ("no pictures", [0, 1]),
        ("large", [0, 1]),
    ],
)
def test_odd_columns_of_a_set_are_one_sentence(tmp_path, monkeypatch, pictures, labels):
    monkeypatch.setattr(hub_datasets.hub, "fetch_data", lambda *_, **__: tmp_path)
    good = png(np.zeros((32, 32, 3), dtype=np.uint8))
    cells = [good] * len(labels)
    if pictures == "large":
        cells = [png(np.zeros((32, 4000), dtype=np.uint8))] * 2
    elif pictures == "no pictures":
        cells = [3, 4]
    elif pictures:
        cells = [{"bytes": p, "path": None} for p in pictures]
    table = pa.table({"img": cells, "label": labels})
    parquet.write_table(table, tmp_path / "train-0.parquet")
    with pytest.raises(LLMRankError, match="train files are not what is expected"):
        mlp.examples(mlp.DataSpec("cifar-10"))


def test_a_damaged_parquet_file_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_datasets.hub, "fetch_data", lambda *_, **__: tmp_path)
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(LLMRankError, match="train files are not what is expected"):
        mlp.examples(mlp.DataSpec("cifar-10"))
