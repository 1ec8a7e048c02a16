r"""Objectives: from named score components to the one number that is steered.

A scorer may return several named components (a docking energy, a drug-likeness, ...).
An objective turns them into one number per candidate, a weighted sum
:math:`\sum_c w_c f_c(s_c)` or product :math:`\prod_c f_c(s_c)^{w_c / \sum w}`, with a named
transform :math:`f_c` for each. A component that failed (NaN) fails the
candidate; components the objective does not use are kept in the ledger and nowhere else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from casbo.errors import ScorerError

Array = NDArray[np.float64]


class Transform(ABC):
    """A map of one component's values (N,) -> (N,); NaN stays NaN."""

    @abstractmethod
    def __call__(self, values: Array) -> Array: ...

    def describe(self) -> dict[str, Any]:
        """Name and parameters as JSON values."""
        return {"transform": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


def _finite(owner: str, **numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ScorerError(f"Expected {owner}'s {name} to be finite, got {number}.")


@dataclass(frozen=True)
class Identity(Transform):
    """The value itself."""

    def __call__(self, values: Array) -> Array:
        return values


@dataclass(frozen=True)
class Linear(Transform):
    """``scale * value + offset``."""

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _finite("Linear", scale=self.scale, offset=self.offset)

    def __call__(self, values: Array) -> Array:
        return self.scale * values + self.offset


@dataclass(frozen=True)
class Clip(Transform):
    """The value held within [low, high], in the component's own units."""

    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ScorerError(f"Expected Clip's low < high, got {self.low} and {self.high}.")

    def __call__(self, values: Array) -> Array:
        return np.clip(values, self.low, self.high)

    def describe(self) -> dict[str, Any]:
        bounds = {"low": self.low, "high": self.high}
        finite = {name: bound for name, bound in bounds.items() if math.isfinite(bound)}
        return {"transform": "Clip", **finite}


@dataclass(frozen=True)
class Sigmoid(Transform):
    """``1 / (1 + exp(-(value - midpoint) / width))``; a negative width makes it falling."""

    midpoint: float
    width: float

    def __post_init__(self) -> None:
        _finite("Sigmoid", midpoint=self.midpoint, width=self.width)
        if self.width == 0:
            raise ScorerError("Expected Sigmoid's width to be non-zero, got 0.")

    def __call__(self, values: Array) -> Array:
        # tanh does not overflow where exp would
        return 0.5 * (1.0 + np.tanh(0.5 * (values - self.midpoint) / self.width))


@dataclass(frozen=True)
class Ramp(Transform):
    """0 at ``none``, 1 at ``full``, linear between and held outside; ``full`` may be the lower."""

    none: float
    full: float

    def __post_init__(self) -> None:
        _finite("Ramp", none=self.none, full=self.full)
        if self.none == self.full:
            raise ScorerError(
                f"Expected Ramp's none and full to differ, got {self.none} for both."
            )

    def __call__(self, values: Array) -> Array:
        return np.clip((values - self.none) / (self.full - self.none), 0.0, 1.0)


@dataclass(frozen=True)
class Window(Transform):
    """Near 1 from ``low`` to ``high``, falling to 0 on both sides over about ``width``.

    ``sigmoid((value - low) / width) * sigmoid((high - value) / width)``: the double sigmoid of
    REINVENT (Blaschke et al. 2020).
    """

    low: float
    high: float
    width: float

    def __post_init__(self) -> None:
        _finite("Window", low=self.low, high=self.high, width=self.width)
        if not (self.low < self.high and self.width > 0):
            raise ScorerError(
                f"Expected Window's low < high and width > 0, got {self.low}, {self.high} and "
                f"{self.width}."
            )

    def __call__(self, values: Array) -> Array:
        return Sigmoid(self.low, self.width)(values) * Sigmoid(self.high, -self.width)(values)


TRANSFORMS: dict[str, type[Transform]] = {
    kind.__name__: kind for kind in (Identity, Linear, Clip, Sigmoid, Ramp, Window)
}


@dataclass(frozen=True)
class Term:
    """One component's weight and transform in a `WeightedSum`."""

    weight: float = 1.0
    transform: Transform = field(default_factory=Identity)

    def __post_init__(self) -> None:
        _finite("Term", weight=self.weight)


class Objective(ABC):
    """Named components, each with shape (N,), -> one number per candidate (N,)."""

    @abstractmethod
    def __call__(self, components: Mapping[str, Array]) -> Array: ...

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Everything that defines it, as JSON values (written into the run's config)."""


class _Weighted(Objective):
    """Terms by component, and how they are written down and read back.

    Raises:
        ScorerError: When there is no term, or a scorer's reply lacks a named component.
    """

    def __init__(self, terms: Mapping[str, Term | float]) -> None:
        if not terms:
            name = type(self).__name__
            raise ScorerError(f"Expected at least one term, got none: {name}({{'name': 1.0}}).")
        self.terms = {
            name: term if isinstance(term, Term) else Term(float(term))
            for name, term in terms.items()
        }

    def transformed(self, components: Mapping[str, Array]) -> dict[str, Array]:
        """Every term's component after its transform, each with shape (N,)."""
        missing = [name for name in self.terms if name not in components]
        if missing:
            raise ScorerError(
                f"Expected the scorer to return the components {sorted(self.terms)}, "
                f"got {sorted(components)}: {missing} missing. Rename the terms of the objective."
            )
        return {
            name: term.transform(np.asarray(components[name], dtype=np.float64))
            for name, term in self.terms.items()
        }

    def describe(self) -> dict[str, Any]:
        terms = {
            name: {"weight": term.weight, **term.transform.describe()}
            for name, term in self.terms.items()
        }
        return {"objective": type(self).__name__, "terms": terms}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Self:
        """The inverse of `describe`.

        Raises:
            ScorerError: When the description is not one of this class.
        """
        if description.get("objective") != cls.__name__:
            raise ScorerError(
                f"Expected the description of a {cls.__name__}, got {description!r}."
            )
        terms: dict[str, Term | float] = {}
        for name, entry in dict(description["terms"]).items():
            options = dict(entry)
            weight, kind = options.pop("weight"), options.pop("transform")
            if kind not in TRANSFORMS:
                raise ScorerError(f"Expected a transform of {sorted(TRANSFORMS)}, got {kind!r}.")
            terms[name] = Term(weight, TRANSFORMS[kind](**options))
        return cls(terms)


class WeightedSum(_Weighted):
    """The weighted sum of transformed components.

    ``WeightedSum({"vina": Term(1.0), "qed": Term(-3.0, Clip(high=0.7))})`` with
    direction "minimize" asks for a low energy and a high QED up to 0.7. A plain number
    stands for ``Term(number)``.

    Raises:
        ScorerError: When there is no term, or a scorer's reply lacks a named component.
    """

    def __call__(self, components: Mapping[str, Array]) -> Array:
        parts = self.transformed(components)
        total: Array = np.sum([self.terms[name].weight * parts[name] for name in parts], axis=0)
        return total


class WeightedProduct(_Weighted):
    r"""The weighted geometric mean of transformed components, :math:`\prod_c f_c^{w_c / \sum w}`.

    One part at 0 makes the whole 0, so nothing can be bought with another part: the usual choice
    where every component is a desirability from 0 to 1 that is maximised.
    ``WeightedProduct({"vina": Term(2.0, Ramp(-5.0, -11.0)), "qed": 1.0})`` with direction
    "maximize".

    Raises:
        ScorerError: When a weight is not positive, or a transformed component is negative.
    """

    def __init__(self, terms: Mapping[str, Term | float]) -> None:
        super().__init__(terms)
        for name, term in self.terms.items():
            if term.weight <= 0:
                raise ScorerError(
                    f"Expected a positive weight for {name!r} in a product, got {term.weight}: "
                    "turn the component round with a transform, such as Ramp(high, low)."
                )

    def __call__(self, components: Mapping[str, Array]) -> Array:
        total = sum(term.weight for term in self.terms.values())
        product: Array = np.ones(1)
        for name, part in self.transformed(components).items():
            if (part < 0).any():
                raise ScorerError(
                    f"Expected {name!r} to be 0 or more in a product, got {np.nanmin(part):g}: "
                    "give it a transform from 0 to 1, such as Ramp or Sigmoid."
                )
            product = product * part ** (self.terms[name].weight / total)
        return product


class SingleComponent(Objective):
    """The objective of a scorer that returns one component: that component."""

    def __call__(self, components: Mapping[str, Array]) -> Array:
        if len(components) != 1:
            raise ScorerError(
                f"Expected one score component, got {sorted(components)}. Say how they add up: "
                "objective=WeightedSum({'name': weight, ...})."
            )
        return np.asarray(next(iter(components.values())), dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        return {"objective": "SingleComponent"}


class FirstComponent(Objective):
    """The first component by name: what a scorer that is only reported counts as scored by."""

    def __call__(self, components: Mapping[str, Array]) -> Array:
        return np.asarray(components[min(components)], dtype=np.float64)

    def describe(self) -> dict[str, Any]:
        return {"objective": "FirstComponent"}
