"""Diversity by buckets: once a bucket is full, further candidates in it are told as failed.

The diversity filter of REINVENT (Blaschke et al., J. Cheminform. 2020, 12, 68), for any samples
that can be sorted into buckets, such as molecules by their scaffolds: without it a search that
has found something good makes little else. Only what the optimiser is told changes; ledger,
records and the best candidates keep the scores as they are.

What is in the buckets is not stored: it follows from the ledger, in the order of the run, so a
run that was killed fills the same buckets again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from casbo.errors import CasboError
from casbo.scorer import Direction


@dataclass(frozen=True)
class Scored:
    """A completed query: its iteration, its sample's name in the ledger, its score."""

    iteration: int
    name: str | None
    score: float


class Buckets(ABC):
    """Sorts candidates into buckets of a limited size.

    Arguments:
        size: Candidates of a bucket that count.
        threshold: Candidates with a worse score neither fill a bucket nor are refused by it;
            None lets every scored candidate fill one.

    Raises:
        CasboError: When the size is below 1 or the threshold is not finite.
    """

    def __init__(self, size: int = 25, threshold: float | None = None) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise CasboError(f"Expected buckets of size >= 1, got {size!r}.")
        if threshold is not None and not math.isfinite(threshold):
            raise CasboError(f"Expected the buckets' threshold to be finite, got {threshold}.")
        self.size = size
        self.threshold = threshold

    @abstractmethod
    def bucket(self, name: str) -> str | None:
        """The bucket of the sample with this name in the ledger; None for none at all."""

    def describe(self) -> dict[str, Any]:
        """Everything that defines them, as JSON values."""
        return {
            "buckets": type(self).__name__,
            "size": self.size,
            "threshold": self.threshold,
        }

    def admitted(self, scored: Sequence[Scored], direction: Direction) -> list[bool]:
        """Which candidates find room, in the order in which the run scored them.

        Arguments:
            scored: All candidates so far, in the order of the run.
            direction: "minimize" or "maximize".
        """
        filled: Counter[str] = Counter()
        names = {one.name for one in scored if one.name is not None}
        buckets = {name: self.bucket(name) for name in names}
        room = []
        for one in scored:
            bucket = None if one.name is None else buckets[one.name]
            if bucket is None or not self._counts(one.score, direction):
                room.append(True)
                continue
            room.append(filled[bucket] < self.size)
            filled[bucket] += 1
        return room

    def _counts(self, score: float, direction: Direction) -> bool:
        if math.isnan(score) or self.threshold is None:
            return not math.isnan(score)
        return score <= self.threshold if direction == "minimize" else score >= self.threshold


class NameBuckets(Buckets):
    """A bucket for each name: the same sample does not count again and again."""

    def bucket(self, name: str) -> str | None:
        return name
