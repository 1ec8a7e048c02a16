"""Several scores at once, as named components of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from casbo.errors import CandidateFailed
from casbo.scorer import (
    SCORE,
    Direction,
    Reply,
    Scorer,
    describe_scorer,
    read_replies,
    scorer_direction,
)

from ..errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image


class CombinedScore:
    """Scorer: N images -> named components, each with shape (N,), one per score.

    ``CombinedScore({"clip": ClipScore("a cat"), "jpeg": JpegSize()})`` returns "clip" and "jpeg";
    the components of a score that has several are called "name.component". They add up by
    ``objective=casbo.WeightedSum({"clip": 1.0, "jpeg": -0.01})``. What one score cannot score
    fails in its own component only; other exceptions are passed on.

    Arguments:
        scores: Name -> scorer.
        direction: Of the objective's sum. None takes the direction that all scores share; where they
            differ, state it here or in ``casbo.steer``, and give the weights their signs.

    Raises:
        ImageError: When there is no score, a name is empty or has a dot, or the direction is asked
            for, was not stated, and the scores' own differ.
    """

    def __init__(
        self, scores: Mapping[str, Scorer], *, direction: Direction | None = None
    ) -> None:
        if not scores:
            raise ImageError(
                "Expected at least one score: CombinedScore({'clip': ClipScore(...)})."
            )
        for name, scorer in scores.items():
            if not isinstance(name, str) or not name or "." in name or not callable(scorer):
                raise ImageError(
                    "Expected a callable for each name, and names without dots, got "
                    f"{name!r}: {type(scorer).__name__}."
                )
        self.scores = dict(scores)
        self._direction = direction

    @property
    def direction(self) -> Direction:
        """Stated, or shared by all scores."""
        if self._direction is not None:
            return scorer_direction(self, self._direction)
        own = {name: getattr(scorer, "direction", None) for name, scorer in self.scores.items()}
        shared = set(own.values())
        if len(shared) != 1 or None in shared:
            raise ImageError(
                "Expected the direction of the objective to be stated, direction='maximize' or "
                f"'minimize', for the scores do not share one: {own}."
            )
        return scorer_direction(self, shared.pop())

    def prepare(self) -> None:
        """Prepare every score in this process."""
        for scorer in self.scores.values():
            prepare = getattr(scorer, "prepare", None)
            if callable(prepare):
                prepare()

    def __call__(self, samples: Sequence[Image]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name, scorer in self.scores.items():
            for component, values in _columns(scorer, samples).items():
                columns[name if component == SCORE else f"{name}.{component}"] = values
        return columns

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        scores = {name: describe_scorer(scorer) for name, scorer in self.scores.items()}
        return {"name": "CombinedScore", "scores": scores}


def _columns(scorer: Scorer, samples: Sequence[Image]) -> Mapping[str, Any]:
    """A scorer's components; a candidate for which it raises fails alone."""
    try:
        reply = scorer(samples)
    except CandidateFailed as reason:
        if len(samples) != 1:
            return _one_by_one(scorer, samples)
        return {name: [reason] for name in getattr(scorer, "components", None) or (SCORE,)}
    return reply if isinstance(reply, Mapping) else {SCORE: reply}


def _one_by_one(scorer: Scorer, samples: Sequence[Image]) -> dict[str, list[Any]]:
    """The same from one call per candidate."""
    rows = [read_replies(_columns(scorer, [sample]), 1)[0] for sample in samples]
    names = dict.fromkeys(name for row in rows for name in row.components)
    return {name: [_entry(row, name) for row in rows] for name in names}


def _entry(row: Reply, name: str) -> float | CandidateFailed:
    value = row.components.get(name, math.nan)
    return value if math.isfinite(value) else CandidateFailed(row.message or f"no {name!r}")
