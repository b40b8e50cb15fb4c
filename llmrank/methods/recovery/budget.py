"""When a training ends, and how fast it goes until then."""

import math
from dataclasses import dataclass
from typing import Literal

from llmrank.core.errors import LLMRankError
from llmrank.core.specs import option, spec
from llmrank.methods.recovery.base import Recovery

WARM_UP_STEPS = 8

READ_SHARE = 1 / 100
"""Of the minutes: at most so much is for reading a held-out text with dense; each look
at it takes about twice as long. Where tokens count, all of it is read."""

EACH = 4
"""A token that is trained on takes about as long as so many that are read."""


Pick = Literal["random", "divergent"]
"""How the windows of a step are chosen; the second after PASER, He et al. 2025,
arXiv 2502.12594: what the cut has harmed most."""

CANDIDATES = 2
"""So many times the windows of a step are read to choose from."""


@dataclass(frozen=True)
class Budget:
    """When a training ends, and how it goes until then.

    By the clock, or by tokens where there are any: what came out then is the same on a
    faster machine.
    """

    minutes: float
    tokens: int
    lr: float
    batch: int
    seed: int
    pick: Pick = "random"

    @property
    def unused(self) -> str:
        """The setting that says nothing: minutes, where there are tokens."""
        return "minutes" if self.tokens else "train_tokens"

    @property
    def drawn(self) -> int:
        """How many windows are drawn for a step."""
        return self.batch * (CANDIDATES if self.pick == "divergent" else 1)

    @property
    def most_read_s(self) -> float:
        """How long a held-out text may be read."""
        return math.inf if self.tokens else READ_SHARE * 60 * self.minutes

    def check_text(self, n_windows: int) -> None:
        """Refuse a text that does not fill one batch."""
        if n_windows < self.drawn:
            raise LLMRankError(
                f"a recovery reads {self.drawn} windows in a step, and the text gives "
                f"{n_windows}; give a longer text, or fewer windows a step"
            )

    def expected_s(self, token_s: float) -> float:
        """Estimate how long it takes where reading a token takes so many seconds."""
        return EACH * token_s * self.tokens if self.tokens else 60 * self.minutes

    def expected_tokens(self, token_s: float) -> int:
        """Estimate how many tokens it trains on; the inverse of `expected_s`."""
        return self.tokens or int(round(60 * self.minutes / (EACH * token_s), -3))

    def spent(self, n_tokens: int, elapsed_s: float) -> float:
        """Return the share of it that is spent."""
        if self.tokens:
            return n_tokens / self.tokens
        return elapsed_s / (60 * self.minutes)

    def rate(self, step: int, spent: float) -> float:
        """Return the learning rate: a rise over the first steps, then a cosine to 0."""
        rise = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.lr * rise * (1 + math.cos(math.pi * min(1.0, spent))) / 2


@spec
class Trained(Recovery):
    """What every training has: a budget, a text, a learning rate, an order."""

    minutes: float = option(
        default=10.0, low=0.1, high=1440.0, help="Budget by the clock", unit="min"
    )
    train_tokens: int = option(
        default=0,
        low=0,
        high=10**9,
        unit="tokens",
        help="Budget in tokens, in place of the minutes; 0: by the clock",
    )
    recovery_text: str = option(
        default="mix",
        help="mix (seven kinds of text), embedded, situations, or a UTF-8 text file",
    )
    lr: float = option(
        default=2e-4, low=1e-6, high=1e-1, help="Highest learning rate of AdamW"
    )
    step_windows: int = option(
        default=2, low=1, high=256, help="Windows of 256 tokens in one step"
    )
    pick: Pick = option(
        default="random",
        help="Windows at random, or of twice as many those where the two differ most",
    )
    seed: int = option(default=0, low=0, help="Order in which the windows are read")

    @property
    def budget(self) -> Budget:
        """How it trains, and until when."""
        return Budget(
            self.minutes, self.train_tokens, self.lr, self.step_windows, self.seed,
            self.pick,
        )  # fmt: skip

    def expected_s(self, token_s: float) -> float:
        """Estimate how long it takes where reading a token takes so many seconds."""
        return self.budget.expected_s(token_s)
