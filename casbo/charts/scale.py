"""Scales: where a value stands along an axis, and which values the axis names."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

#: Values are held within these: differences and ratios of what is drawn stay finite.
LARGEST, SMALLEST = 1e150, 1e-150
#: Values nearer to each other than this, relative to their size, are drawn as one.
RESOLUTION = 1e-9


@dataclass(frozen=True)
class Scale(ABC):
    """An axis from ``low`` to ``high``, low < high.

    Arguments:
        low, high: The values at its ends.
    """

    low: float
    high: float

    @abstractmethod
    def places(self, values: ArrayLike) -> Array:
        """Where values stand: 0 at ``low``, 1 at ``high``, NaN for those that stand nowhere."""

    @abstractmethod
    def ticks(self, count: int) -> list[float]:
        """About ``count`` round values from ``low`` to ``high``, ascending."""

    @classmethod
    @abstractmethod
    def covering(
        cls, values: ArrayLike, *, margin: float, low: float | None, high: float | None
    ) -> Scale:
        """The scale on which all values can be seen.

        Arguments:
            values: What is drawn; what has no place on such a scale does not count.
            margin: Room on either side, as a share of the values' range.
            low, high: Ends that are given; None leaves them to the values.
        """


@dataclass(frozen=True)
class Linear(Scale):
    """Equal differences are equally far apart."""

    def places(self, values: ArrayLike) -> Array:
        known = _held(values)
        return (known - self.low) / (self.high - self.low)

    def ticks(self, count: int) -> list[float]:
        step = _round_step((self.high - self.low) / max(1, count))
        slack = 1e-6 * step
        first = math.ceil((self.low - slack) / step)
        last = math.floor((self.high + slack) / step)
        return [number * step for number in range(first, last + 1)]

    @classmethod
    def covering(
        cls, values: ArrayLike, *, margin: float, low: float | None, high: float | None
    ) -> Linear:
        known = _held(values)
        known = known[np.isfinite(known)]
        bottom, top = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        bottom, top = _apart(bottom, top)
        room = margin * (top - bottom)
        bottom, top = bottom - room if low is None else low, top + room if high is None else high
        return cls(bottom, top if top > bottom else bottom + 1.0)


@dataclass(frozen=True)
class Logarithmic(Scale):
    """Equal ratios are equally far apart; only positive values have a place."""

    def places(self, values: ArrayLike) -> Array:
        return self._exponents.places(_logarithms(values))

    def ticks(self, count: int) -> list[float]:
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        if last - first >= 2:
            return [10.0**n for n in range(first, last + 1, math.ceil((last - first) / count))]
        decades = range(first - 1, last + 1)
        round_ones = [digit * 10.0**n for n in decades for digit in (1, 2, 5)]
        within = [value for value in round_ones if self.low <= value <= self.high]
        return within if len(within) > 1 else Linear(self.low, self.high).ticks(count)

    @classmethod
    def covering(
        cls, values: ArrayLike, *, margin: float, low: float | None, high: float | None
    ) -> Logarithmic:
        ends = [None if end is None else math.log10(end) for end in (low, high)]
        inner = Linear.covering(_logarithms(values), margin=margin, low=ends[0], high=ends[1])
        return cls(10.0**inner.low, 10.0**inner.high)

    @property
    def _exponents(self) -> Linear:
        return Linear(math.log10(self.low), math.log10(self.high))


def labels(ticks: list[float]) -> list[str]:
    """Ticks as text, with as many digits as it takes to tell them apart."""
    largest = max((abs(tick) for tick in ticks), default=0.0)
    for digits in range(3, 17):
        texts = [f"{_rid_of_noise(tick, largest):.{digits}g}" for tick in ticks]
        if len(set(texts)) == len(ticks):
            return texts
    return [repr(tick) for tick in ticks]


def _rid_of_noise(tick: float, largest: float) -> float:
    """0 for what is 0 but for rounding."""
    return 0.0 if abs(tick) < 1e-12 * largest else tick


def _round_step(step: float) -> float:
    """The one of 1, 2 and 5 times a power of ten that is nearest to ``step``, as ratios go."""
    power = 10.0 ** math.floor(math.log10(step))
    return min((digit * power for digit in (1, 2, 5, 10)), key=lambda d: abs(math.log(d / step)))


def _apart(low: float, high: float) -> tuple[float, float]:
    """The same two, or some room around them where they are as good as one."""
    largest = max(abs(low), abs(high))
    if high - low > RESOLUTION * largest and high - low > SMALLEST:
        return low, high
    room = 0.05 * largest if largest > SMALLEST else 0.5
    return low - room, high + room


def _held(values: ArrayLike) -> Array:
    """float64 held within what can be drawn; what is not finite becomes NaN."""
    known = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(known), np.clip(known, -LARGEST, LARGEST), np.nan)


def _logarithms(values: ArrayLike) -> Array:
    known = _held(values)
    positive = np.where(known > 0, np.maximum(known, SMALLEST), np.nan)
    return np.log10(positive)
