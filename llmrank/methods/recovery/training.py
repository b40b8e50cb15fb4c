"""One training while it runs: batches, steps, looks at what is held out, the best."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress
from llmrank.methods.recovery.base import Loss, Moment, Reading, RecoveryInputs
from llmrank.methods.recovery.budget import Budget
from llmrank.methods.recovery.head import following, last_hidden
from llmrank.methods.recovery.teacher import Student, Teacher, Wanted

CLIP = 1.0
BETAS = (0.9, 0.95)
LOOK_EVERY = 1 / 4
"""Of the budget: how often the held-out windows are read."""

KEEP_EVERY_S = 60.0
"""How often all is kept on the disk, at most."""

KEPT_SHARE = 1 / 20
"""Of the time, at most so much is for keeping."""

WORSE = 2.0
"""So many times the divergence at the start, and the training ends."""

TRAINING = "Recovering"
"""The step of the progress."""


class Training:
    """A student that is taught by the dense model until a budget is spent."""

    def __init__(
        self,
        budget: Budget,
        student: Student,
        inputs: RecoveryInputs,
        loss: Loss = "kl",
    ) -> None:
        budget.check_text(len(inputs.windows))
        self._budget, self._inputs, self._loss = budget, inputs, loss
        self._device = inputs.dense.device
        self._teacher = Teacher(inputs.dense)
        self._student, self._weights = student.model, student.weights
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=budget.lr, betas=BETAS, weight_decay=0.0, fused=True
        )
        self.curve: list[Moment] = []
        self._best = math.inf
        self._state: list[Tensor] = []
        self._first_step, self._n_tokens, self._before_s = 0, 0, 0.0
        self._start = self._kept_at = time.perf_counter()
        self._kept_s = 0.0
        self._held_out: dict[str, list[Wanted]] = {}
        self.ended, self.is_kept = "", False

    def run(
        self,
        progress: Progress,
        publish: Callable[[Moment], None],
        enough: Callable[[], bool],
    ) -> None:
        """Train; afterwards the student has its best weights, and `curve` its course.

        `ended` says why, if not because the budget was spent; `is_kept`, whether all of
        it was done before and is only read again.
        """
        progress(TRAINING, 0, 1000)
        self.is_kept = self._resumed()
        if not self.is_kept:
            self._held_out = {
                name: self._teacher.read(windows, self._budget)
                for name, windows in self._inputs.held_out.items()
            }
            for moment in self.curve:
                publish(moment)
            if not self.curve:
                self._note(None, look=True, publish=publish)
            self._train(progress, publish, enough)
            self._keep(done=True)
        with torch.no_grad():
            for weight, best in zip(self._weights, self._state, strict=True):
                weight.copy_(best)
                weight.requires_grad_(False)
                weight.grad = None

    def _train(
        self,
        progress: Progress,
        publish: Callable[[Moment], None],
        enough: Callable[[], bool],
    ) -> None:
        last, next_look = None, LOOK_EVERY * (1 + self._spent() // LOOK_EVERY)
        for step, ids in self._batches():
            if self._spent() >= 1:
                break
            if enough():
                self.ended = "stopped by hand"
                break
            for group in self._optimizer.param_groups:
                group["lr"] = self._budget.rate(step, self._spent())
            ids = self._picked(ids)
            last = self._step(ids)
            if not math.isfinite(last.divergence):
                self.ended = "the loss was no longer finite: a smaller lr may help"
                break
            self._n_tokens += ids.numel()
            spent = self._spent()
            progress(TRAINING, min(1000, round(1000 * spent)), 1000)
            look = spent >= min(1.0, next_look)
            next_look += LOOK_EVERY if look else 0.0
            self._note(last, look=look, publish=publish)
            if self.curve[-1].held_out and self._is_worse():
                self.ended = "it grew worse: a smaller lr may help"
                return
            self._first_step = step + 1
            each_s = max(KEEP_EVERY_S, self._kept_s / KEPT_SHARE)
            if time.perf_counter() - self._kept_at > each_s:
                self._keep()
        self._finish(last, publish)

    def _finish(self, last: Reading | None, publish: Callable[[Moment], None]) -> None:
        """Read what is held out once more, if anything was trained since."""
        if last is not None and not math.isfinite(last.divergence):
            if len(self.curve) == 1:
                raise LLMRankError(
                    "the loss is no longer finite; take a smaller lr, or float32"
                )
        elif last is not None and not self.curve[-1].held_out:
            self._note(last, look=True, publish=publish)

    def _is_worse(self) -> bool:
        first, last = self.curve[0], self.curve[-1]
        return last.lost(self._loss) > WORSE * first.lost(self._loss)

    def _picked(self, ids: Int[Tensor, "drawn pos"]) -> Int[Tensor, "batch pos"]:
        """Return those windows on which the student is furthest from dense."""
        if len(ids) == self._budget.batch:
            return ids
        read = [
            self._teacher.told(self._student, [self._teacher.wanted(one)]).divergence
            for one in ids.split(1)
        ]
        return ids[torch.tensor(read).topk(self._budget.batch).indices]

    def _step(self, ids: Int[Tensor, "batch pos"]) -> Reading:
        """Train on one batch; return how it was before."""
        wanted = self._teacher.wanted(ids)
        with torch.enable_grad(), self._teacher.fast():
            reached = last_hidden(self._student, ids)
            read, gradient = self._teacher.head.gradient(
                wanted.hidden, reached.flatten(0, 1), following(ids), self._loss
            )
        if math.isfinite(read.divergence):
            reached.backward(gradient.view_as(reached))
            nn.utils.clip_grad_norm_(self._weights, CLIP)
            self._optimizer.step()
            self._optimizer.zero_grad()
        return read

    def _note(
        self,
        batch: Reading | None,
        *,
        look: bool,
        publish: Callable[[Moment], None],
    ) -> None:
        """Note the moment; where the held-out windows are read, keep the best state."""
        held_out = {
            name: self._teacher.told(self._student, wanted)
            for name, wanted in self._held_out.items()
            if look
        }
        moment = Moment(self._n_tokens, self._elapsed_s(), batch, held_out)
        self.curve.append(moment)
        if moment.lost(self._loss) < self._best or not self._state:
            self._best = moment.lost(self._loss)
            self._state = [weight.detach().clone() for weight in self._weights]
        publish(moment)

    def _batches(self) -> Iterator[tuple[int, Int[Tensor, "batch pos"]]]:
        """Draw the windows again and again, each time in another order."""
        generator = torch.Generator().manual_seed(self._budget.seed)
        windows, size, step = self._inputs.windows, self._budget.drawn, 0
        while True:
            order = torch.randperm(len(windows), generator=generator)
            for part in order[: len(order) // size * size].split(size):
                if step >= self._first_step:
                    yield step, windows[part].to(self._device)
                step += 1

    def _elapsed_s(self) -> float:
        return self._before_s + time.perf_counter() - self._start

    def _spent(self) -> float:
        return self._budget.spent(self._n_tokens, self._elapsed_s())

    def _keep(self, *, done: bool = False) -> None:
        """Keep on the disk all that is needed to go on, or only what came out."""
        if self._inputs.kept is None:
            return
        start = time.perf_counter()
        tensors = {f"best.{i}": w for i, w in enumerate(self._state)}
        if not done:
            for i, weight in enumerate(self._weights):
                own = self._optimizer.state[weight]
                tensors[f"weight.{i}"] = weight.detach()
                tensors[f"mean.{i}"] = own["exp_avg"]
                tensors[f"square.{i}"] = own["exp_avg_sq"]
        plain = {
            "done": done,
            "ended": self.ended,
            "step": self._first_step,
            "n_tokens": self._n_tokens,
            "elapsed_s": self._elapsed_s(),
            "best": self._best,
            "curve": [dataclasses.asdict(moment) for moment in self.curve],
        }
        self._inputs.kept.write(plain, tensors)
        self._kept_at = time.perf_counter()
        self._kept_s = self._kept_at - start

    def _resumed(self) -> bool:
        """Go on from what was kept; return whether that is all there is to do."""
        found = None if self._inputs.kept is None else self._inputs.kept.read()
        if found is None:
            return False
        plain, tensors = found
        names = range(len(self._weights))
        self._state = [tensors[f"best.{i}"].to(self._device) for i in names]
        self.curve = [_moment(one) for one in plain["curve"]]
        self._best, self.ended = plain["best"], plain["ended"]
        if plain["done"]:
            return True
        self._first_step, self._n_tokens = plain["step"], plain["n_tokens"]
        self._before_s = plain["elapsed_s"]
        for i, weight in enumerate(self._weights):
            with torch.no_grad():
                weight.copy_(tensors[f"weight.{i}"])
            self._optimizer.state[weight] = {
                "step": torch.tensor(float(self._first_step)),
                "exp_avg": tensors[f"mean.{i}"].to(self._device),
                "exp_avg_sq": tensors[f"square.{i}"].to(self._device),
            }
        return False


def _moment(plain: dict[str, Any]) -> Moment:
    batch = plain["batch"]
    return Moment(
        plain["n_tokens"],
        plain["elapsed_s"],
        None if batch is None else Reading(**batch),
        {name: Reading(**read) for name, read in plain["held_out"].items()},
    )
