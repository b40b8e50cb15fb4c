"""What an arena says: who is ahead, who cannot be told, and when we lose."""

import pandas as pd
import pytest

from llmrank.report.sentences.arena import (
    correlations_sentence,
    nearest,
    standings_sentence,
)

FRONT, UNTOLD, BEATEN = "on the frontier", "cannot be told", "beaten"


def table(*rows) -> pd.DataFrame:
    """Rows of method, how its figure is written, and its verdict; the best first."""
    columns = ["method", "said", "verdict"]
    found = pd.DataFrame(rows, columns=columns).assign(sparsity=0.3)
    found["criterion"] = found["method"].str.split(" ").str[0]
    return found


def said_of(*rows, y="perplexity_ratio"):
    return standings_sentence(table(*rows), y, 0.3)


def test_it_names_who_is_on_the_frontier_with_the_tables_digits():
    said = said_of(("llm-rank", "×2.00 [1.90, 2.10]", FRONT), ("l1", "×9.00", BEATEN))
    assert said == (
        "At 30 % removed, by perplexity, × dense: **llm-rank** (×2.00 [1.90, 2.10]) is "
        "on the frontier; the other 1 is beaten. LLM-Rank's best, **llm-rank** "
        "(×2.00 [1.90, 2.10]), is on the frontier."
    )


def test_it_says_so_when_llm_rank_loses():
    said = said_of(
        ("wanda", "×2.00", FRONT), ("llm-rank", "×3.00", BEATEN), ("l1", "×9", BEATEN)
    )
    assert "the other 2 are beaten" in said
    assert said.endswith("LLM-Rank's best, **llm-rank** (×3.00), is beaten.")


def test_who_cannot_be_told_is_named_and_many_are_counted():
    rows = [(f"m{i}", f"×{i}", UNTOLD) for i in range(1, 6)]
    said = said_of(*rows)
    told = "**m1** (×1), **m2** (×2), **m3** (×3) and 2 more cannot be told from the "
    assert told + "frontier." in said
    assert "beaten" not in said
    assert "LLM-Rank is not measured there" in said


def test_a_verdict_of_ours_is_a_whole_sentence():
    said = said_of(("wanda", "×2", FRONT), ("llm-rank", "×3", UNTOLD))
    assert said.endswith("**llm-rank** (×3), cannot be told from the frontier.")


def test_all_may_be_beaten_by_other_sparsities():
    assert "top-1 accuracy: 2 are beaten." in said_of(
        ("l1", "0.2", BEATEN), ("l2", "0.1", BEATEN), y="top1"
    )


def test_the_nearest_sparsity_stands_for_one_that_is_not_measured():
    tables = (table(("l2", "×2", FRONT)), table(("l1", "×4", FRONT)))
    both = pd.concat([tables[0].assign(sparsity=0.2), tables[1].assign(sparsity=0.5)])
    assert nearest(both, 0.3)["method"].tolist() == ["l2"]
    assert nearest(both, 0.35)["method"].tolist() == ["l1"]  # as near: the smaller
    assert standings_sentence(both, "perplexity", 0.9).startswith("At 50 % removed")


def test_names_from_outside_are_no_markup():
    assert "**axb** (×1)" in said_of(("a![x](b)", "×1", FRONT))


def test_nothing_is_said_of_nothing():
    empty = pd.DataFrame()
    assert standings_sentence(empty, "perplexity", 0.3) == (
        "No cell has both figures yet."
    )


@pytest.mark.parametrize("value", [0.25, -0.5])
def test_the_criteria_that_agree_most_and_least(value):
    names = ["a", "b", "c"]
    square = [[1, 0.9, value], [0.9, 1, 0.7], [value, 0.7, 1]]
    said = correlations_sentence(pd.DataFrame(square, names, names))
    assert said.startswith("a and b rank most alike (0.90)")
    assert f"a and c least ({value:.2f})" in said


def test_one_criterion_alone_cannot_agree():
    assert "Two criteria" in correlations_sentence(pd.DataFrame([[1.0]], ["a"], ["a"]))
