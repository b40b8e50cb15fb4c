"""Sentences about trainings: what a budget buys, and what one has bought."""

from llmrank.core.formatting import duration, share, times
from llmrank.core.statistics import times_spread
from llmrank.evaluation.perplexity import TextEvaluation, perplexity_ratio
from llmrank.experiments.frontier import Choice
from llmrank.methods.recovery.budget import Budget


def budget_sentence(budget: Budget, token_s: float) -> str:
    """Say what a budget is worth where a token is read in so many seconds."""
    if budget.tokens:
        worth = duration(budget.expected_s(token_s))
        return f"{worth.capitalize()} here, as fast as it has read so far."
    n_tokens = budget.expected_tokens(token_s)
    return f"About {n_tokens:,} tokens here, as fast as it has read so far."


def gain_sentence(before: Choice, after: Choice) -> str:
    """Say what was measured without and with a training."""
    removed = share(after.sparsity)
    return (
        f"Measured: {before.method.name} at {removed} removed goes from "
        f"{times(before.ratio.value)} to {times_spread(after.ratio)} by "
        f"{after.n_trained:,} tokens."
    )


def helps_sentence(without: TextEvaluation, after: TextEvaluation) -> str:
    """Say whether a training made perplexity less, on the windows that both have read.

    Nothing, where these are of two texts or fewer than two.
    """
    n = min(len(without.nll), len(after.nll))
    before, trained = without.first(n), after.first(n)
    if before.windows != trained.windows or n < 2:
        return ""
    ratio = perplexity_ratio(before, trained)
    told = "brings no gain that can be told"
    if not ratio.low <= 1 <= ratio.high:
        told = "helps" if ratio.high < 1 else "makes it worse"
    return (
        f"**Recovery {told}:** {times_spread(ratio)} the perplexity without it, on the "
        f"same {trained.n_tokens:,} tokens."
    )
