"""Scorers: what is asked of a black box, and how its reply is read.

A scorer is any callable that takes a list of N samples and returns N numbers, or a dict
of named components with N numbers each. NaN, None and infinities mark a failed candidate;
a `casbo.CandidateFailed("reason")` in place of a number marks it with a reason, and raising
it fails the candidate (with `workers`, candidates are scored one by one, so any exception
fails one candidate only).

Four optional attributes are read:

* ``direction``: ``"minimize"`` or ``"maximize"``;
* ``prepare()``: called once per worker before its first candidate (receptor maps, model
  weights); the deadline of a candidate does not count it;
* ``effort(sample)``: about how long a sample takes, in any unit; workers begin with the longest;
* ``describe()``: JSON values that identify the scorer in the run's config.

`casbo.testing.check_scorer` checks a scorer of your own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

from casbo.errors import CandidateFailed, ScorerError
from casbo.rollout import Sample

Direction = Literal["minimize", "maximize"]
DIRECTIONS: tuple[Direction, Direction] = ("minimize", "maximize")

#: The name of the component of a scorer that returns plain numbers.
SCORE = "score"


class Scorer(Protocol):
    """Samples (list of N) -> array-like (N,) or a dict of named arrays (N,)."""

    def __call__(self, samples: Sequence[Sample], /) -> Any: ...  # noqa: ANN401


@dataclass(frozen=True)
class Reply:
    """What one candidate's query returned.

    Arguments:
        components: Named scores in the scorer's own units; NaN where a component failed.
        message: Why the candidate failed, or None.
        seconds: Time spent in the scorer.
        attempts: How often the scorer was called for it.
    """

    components: Mapping[str, float] = field(default_factory=dict)
    message: str | None = None
    seconds: float = 0.0
    attempts: int = 1


def scorer_direction(scorer: object, direction: str | None) -> Direction:
    """The direction asked for, else the scorer's own, else "minimize".

    Raises:
        ScorerError: When it is neither "minimize" nor "maximize".
    """
    stated = direction if direction is not None else getattr(scorer, "direction", None)
    if stated is None:
        return "minimize"
    for known in DIRECTIONS:
        if stated == known:
            return known
    raise ScorerError(f"Expected direction to be one of {DIRECTIONS}, got {stated!r}.")


def describe_scorer(scorer: object) -> dict[str, Any]:
    """What identifies a scorer in a run's config: its own describe(), else its name."""
    describe = getattr(scorer, "describe", None)
    if callable(describe):
        return dict(describe())
    named = scorer if hasattr(scorer, "__qualname__") else type(scorer)
    return {"name": f"{named.__module__}.{getattr(named, '__qualname__', '?')}"}


def read_replies(reply: object, count: int) -> list[Reply]:
    """A scorer's return value as one `Reply` per candidate.

    Arguments:
        reply: Array-like (N,) or a dict of array-likes (N,).
        count: N, the number of samples that were sent.

    Raises:
        ScorerError: When the reply does not hold N numbers per component.
    """
    named = reply if isinstance(reply, Mapping) else {SCORE: reply}
    if not named:
        raise ScorerError("Expected at least one named component, got an empty dict.")
    columns = {str(name): _column(str(name), values, count) for name, values in named.items()}
    return [_reply({name: columns[name][i] for name in columns}) for i in range(count)]


def _reply(entries: Mapping[str, Any]) -> Reply:
    values: dict[str, float] = {}
    reasons: list[str] = []
    for name, entry in entries.items():
        values[name], reason = _number(entry)
        if reason is not None:
            reasons.append(reason if isinstance(entry, CandidateFailed) else f"{name}: {reason}")
    return Reply(components=values, message="; ".join(reasons) or None)


def _number(entry: object) -> tuple[float, str | None]:
    """A finite number, or NaN and the reason."""
    if entry is None:
        return math.nan, "the scorer returned None"
    if isinstance(entry, BaseException):
        return math.nan, exception_message(entry)
    if isinstance(entry, (str, bytes)):
        return math.nan, f"expected a number, got {entry!r:.60}"
    try:
        number = float(entry)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return math.nan, f"expected a number, got {type(entry).__name__}"
    if math.isfinite(number):
        return number, None
    return math.nan, f"the scorer returned {number}"


def _column(name: str, values: object, count: int) -> list[Any]:
    """One component's N entries."""
    if isinstance(values, Tensor):
        values = values.detach().double().cpu().numpy()
    if isinstance(values, (str, bytes, Mapping)):
        raise ScorerError(
            f"Expected {count} numbers for component {name!r}, got {type(values).__name__}."
        )
    if isinstance(values, np.ndarray):
        if values.shape not in ((count,), (count, 1)) and not (values.ndim == 0 and count == 1):
            raise ScorerError(
                f"Expected component {name!r} to have shape ({count},), one number per sample, "
                f"got {values.shape}."
            )
        rows: list[Any] = values.reshape(count).tolist()
        return rows
    try:
        entries: list[Any] = list(values)  # type: ignore[call-overload]
    except TypeError:
        entries = [values] if count == 1 else []
    if len(entries) != count:
        raise ScorerError(
            f"Expected component {name!r} to have one number per sample ({count}), "
            f"got {len(entries) or type(values).__name__}."
        )
    return entries


def exception_message(error: BaseException) -> str:
    """One line saying what an exception said; a CandidateFailed speaks for itself."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an exception whose own __str__ raises
        text = "(no message)"
    if isinstance(error, CandidateFailed) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
