"""Shares and means that are NaN where there is nothing to divide by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def share(part: int, whole: int) -> float:
    """``part / whole``; NaN of nothing."""
    return part / whole if whole else math.nan


def mean(values: Sequence[float] | np.ndarray) -> float:
    """The mean of the finite values; NaN of none."""
    known = finite(values)
    return float(known.mean()) if len(known) else math.nan


def median(values: Sequence[float] | np.ndarray) -> float:
    """The median of the finite values; NaN of none."""
    known = finite(values)
    return float(np.median(known)) if len(known) else math.nan


def finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The values that are numbers."""
    numbers = np.asarray(values, dtype=float)
    return numbers[np.isfinite(numbers)]
