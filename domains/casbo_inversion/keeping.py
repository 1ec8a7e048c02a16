"""Keeping the best token of a run, as a fixed validation set sees it.

Scores of an iteration are noisy and of candidates off the mean, so the best score of a run is a lucky
one. What is kept is chosen among few tokens on random numbers that no score was made with: the start,
the means learned, and, on request, the run's best candidates once more.

Means are not stored: seed and ledger determine the course of a run, so the one that validated best is
found by telling a fresh optimiser the scores again. A resumed run therefore keeps the same token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from casbo.ledger import FINAL, Batch, Ledger
from casbo.objective import SingleComponent
from casbo.optimizer import Optimizer
from casbo.result import Result
from casbo.run_config import steering_options
from casbo.scorer import read_replies

from .errors import InversionError
from .token import LearnedToken

if TYPE_CHECKING:
    from casbo.objective import Objective

    from .objective import TokenScorer
    from .rollout import TokenInversion

Keep = Literal["validated", "last"]
KEEPS: tuple[Keep, ...] = ("validated", "last")
#: The name of the validation curve among a run's components.
VALIDATION = "validation"


@dataclass(frozen=True)
class Keeping:
    """Which token a run keeps.

    Arguments:
        keep: "validated", or "last", the best of the last iteration by its own score, as published.
        validate_every: Iterations from one validation of the mean to the next.
        elites: So many of the run's best candidates are validated as well.

    Raises:
        InversionError: When a setting cannot be used.
    """

    keep: Keep = "validated"
    validate_every: int = 5
    elites: int = 0

    def __post_init__(self) -> None:
        if self.keep not in KEEPS or self.validate_every < 1 or self.elites < 0:
            raise InversionError(
                f"Expected keep among {list(KEEPS)}, validate_every >= 1 and elites >= 0, got "
                f"{self.keep!r}, {self.validate_every} and {self.elites}."
            )


@dataclass(frozen=True)
class Learned:
    """What an inversion has found.

    Arguments:
        token: The token kept.
        origin: Where it comes from, such as "mean after 40 iterations".
        validation: The validation score of every token considered, by origin.
        words: The words learning started from, with their weights.
        forward_passes: Evaluations of the denoising network, validations included.
        result: The run.
    """

    token: LearnedToken
    origin: str
    validation: Mapping[str, float]
    words: tuple[tuple[str, float], ...]
    forward_passes: int
    result: Result

    def to_json(self) -> dict[str, Any]:
        """All but the run, as JSON values."""
        return {
            "placeholder": self.token.placeholder,
            "token": self.token.digest,
            "origin": self.origin,
            "validation": {k: v if math.isfinite(v) else None for k, v in self.validation.items()},
            "words": [[word, weight] for word, weight in self.words],
            "forward_passes": self.forward_passes,
        }


@dataclass(frozen=True)
class Validation:
    """A monitor: the validation score of the mean of an iteration's tokens, now and then.

    Candidates come in mirrored pairs, so the mean of their tokens is the mean learned so far.
    """

    scorer: TokenScorer
    objective: Objective
    every: int

    def __call__(self, samples: Sequence[LearnedToken]) -> float:
        """The score of N tokens' mean; NaN in iterations between validations."""
        draw = samples[0].draw
        if draw is None or draw % self.every:
            return math.nan
        columns = zip(*(token.vectors for token in samples), strict=True)
        mean = tuple(torch.stack(column).double().mean(0).float() for column in columns)
        return validated(
            [LearnedToken(samples[0].placeholder, mean)], self.scorer, self.objective
        )[0]


def validated(
    tokens: Sequence[LearnedToken], scorer: TokenScorer, objective: Objective
) -> list[float]:
    """Validation scores of tokens; NaN = failed."""
    import numpy as np

    scores = []
    for reply in read_replies(scorer([token.at(None) for token in tokens]), len(tokens)):
        columns = {name: np.array([value]) for name, value in reply.components.items()}
        scores.append(float(objective(columns)[0]) if columns else math.nan)
    return scores


@dataclass(frozen=True)
class Replay:
    """The course of a run, from its config and its ledger.

    Arguments:
        config: The run's config.
        ledger: Its ledger.
        make: What made its optimiser; None is `casbo.Optimizer`.
    """

    config: Mapping[str, Any]
    ledger: Ledger
    make: Callable[..., Any] | None = None

    def course(self) -> Iterator[tuple[Any, Tensor]]:
        """For every iteration the optimiser before it was told, and the scores (N,)."""
        optimizer, size = self._optimizer(), int(self.config["population"])
        for iteration in range(len(self.ledger.iterations())):
            entries = self.ledger.entries(Batch("steering", iteration))
            scores = [entries[(number, FINAL)].score for number in range(size)]
            optimizer.ask()
            told = torch.tensor(scores, dtype=torch.float64)
            yield optimizer, told
            optimizer.tell(told)

    def _optimizer(self) -> Any:  # noqa: ANN401
        options = steering_options(self.config)
        for name in ("queries", "workers", "deadline", "keep", "failure_limit", "domain"):
            options.pop(name, None)
        for name in ("score_steps", "heldout_count"):
            options.pop(name, None)
        steps, dim = self.config["shape"]
        return (self.make or Optimizer)(steps=steps, dim=dim, **options)


def keep_token(
    result: Result,
    ledger: Ledger,
    keeping: Keeping,
    make: Callable[..., Any] | None = None,
    objective: Objective | None = None,
) -> Learned:
    """The token that a run keeps.

    Arguments:
        result: The run, of a `TokenInversion`.
        ledger: Its ledger.
        keeping: What to keep.
        make: What made the run's optimiser.
        objective: How several components of the score add up.

    Raises:
        InversionError: When nothing was scored.
    """
    inversion: Any = result.rollout
    replay = Replay(result.config, ledger, make)
    if keeping.keep == "last":
        found = {f"best of iteration {len(result.history)}": _last_best(inversion, replay)}
    else:
        found = _finalists(inversion, result, replay, keeping)
    tokens = list(found.values())
    scores = validated(tokens, inversion.objective, objective or SingleComponent())
    sign = 1 if inversion.objective.direction == "minimize" else -1
    order = sorted(range(len(tokens)), key=lambda n: (math.isnan(scores[n]), sign * scores[n]))
    names = list(found)
    return Learned(
        token=tokens[order[0]].at(None),
        origin=names[order[0]],
        validation=dict(zip(names, scores, strict=True)),
        words=inversion.words,
        forward_passes=forward_passes(inversion, result, keeping, len(tokens)),
        result=result,
    )


def forward_passes(
    inversion: TokenInversion, result: Result, keeping: Keeping, finalists: int
) -> int:
    """Evaluations of the network in a run: queries, what they are relative to, validations."""
    scorer, iterations = inversion.objective, len(result.history)
    queries = result.history[-1].queries if result.history else 0
    extra = iterations if getattr(scorer, "relative", False) else 0
    checks = finalists + (
        0 if keeping.keep == "last" else -(-iterations // keeping.validate_every)
    )
    per_query, per_check = scorer.forward_passes_per_query, scorer.forward_passes_per_validation
    return (queries + extra) * per_query + checks * per_check


def _finalists(
    inversion: TokenInversion, result: Result, replay: Replay, keeping: Keeping
) -> dict[str, LearnedToken]:
    found = {"start": inversion.start_token}
    best = _best_validated(result, inversion.objective.direction)
    if best is not None and best > 0:
        for iteration, (optimizer, _) in enumerate(replay.course()):
            if iteration == best:
                found[f"mean after {best} iterations"] = inversion.mean_token(optimizer.controls)
                break
    last = f"mean after {len(result.history)} iterations"
    found[last] = inversion.mean_token(result.controls)
    for rank, elite in enumerate(result.bests(keeping.elites) if keeping.elites else [], start=1):
        found[f"candidate {rank}"] = elite.sample
    return found


def _best_validated(result: Result, direction: str) -> int | None:
    """The iteration whose mean validated best, or None where none did."""
    values = {
        record.iteration: record.components[VALIDATION]
        for record in result.history
        if math.isfinite(record.components.get(VALIDATION, math.nan))
    }
    if not values:
        return None
    return (min if direction == "minimize" else max)(values, key=lambda n: values[n])


def _last_best(inversion: TokenInversion, replay: Replay) -> LearnedToken:
    noise, scores = None, torch.zeros(0)
    for optimizer, told in replay.course():
        noise, scores = optimizer.ask(), told
    if noise is None or not bool(scores.isfinite().any()):
        raise InversionError("Expected a scored candidate in the last iteration, got none.")
    costs = scores if inversion.objective.direction == "minimize" else -scores
    best = int(costs.nan_to_num(nan=math.inf).argmin())
    return inversion(noise[best : best + 1]).samples[0]  # type: ignore[no-any-return]
