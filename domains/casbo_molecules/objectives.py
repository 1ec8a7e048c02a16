"""What a docking run steers, from a user's words: sums and products of transformed components."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from casbo.errors import ScorerError
from casbo.objective import (
    TRANSFORMS,
    Identity,
    Objective,
    Term,
    Transform,
    WeightedProduct,
    WeightedSum,
)
from casbo.scorer import Direction

from .docking_score import QED_WEIGHT, SA_WEIGHT, DockingScore, docking_objective
from .errors import DockingInputError

if TYPE_CHECKING:
    from .docking_options import DockingOptions

NAMED: Mapping[str, type[Transform]] = {name.lower(): kind for name, kind in TRANSFORMS.items()}
"""Transforms by the names that a user gives them."""

#: Desirabilities that are multiplied where a product is asked for and no term is named.
DESIRABILITY = ("vina=2,ramp,-5,-11", "qed=1", "sa_normalised=1")

#: Where components lie, as far as that is known: a product refuses terms that can be negative.
RANGES: Mapping[str, tuple[float, float]] = {
    "qed": (0.0, 1.0),
    "sa_normalised": (0.0, 1.0),
    "sa": (1.0, 10.0),
    "molecular_weight": (0.0, 1e6),
}
ANYWHERE = (-1e6, 1e6)


class Steered(NamedTuple):
    """An objective and whether it is to be small or large."""

    objective: Objective
    direction: Direction


def objective_of(options: DockingOptions) -> Steered:
    """The objective of a run.

    ``objective="sum"`` is minimised: of the terms, or without any of Vina's energy with QED and
    SA as counterweights (:func:`.docking_score.docking_objective`). ``"product"`` is maximised:
    the weighted geometric mean of desirabilities.

    Raises
    ------
    DockingInputError
        If a term cannot be understood, or options exclude each other.
    """
    if options.objective not in ("sum", "product"):
        raise DockingInputError(
            f"expected --objective as sum or product, got {options.objective!r:.40}"
        )
    weights = {"--qed-weight": options.qed_weight, "--sa-weight": options.sa_weight}
    stated = [name for name, weight in weights.items() if weight is not None]
    if stated and (options.term or options.objective == "product"):
        raise DockingInputError(
            f"{stated[0]} belongs to the standard sum; with --term or --objective product state "
            "it as a term, such as --term qed=1"
        )
    if options.objective == "product":
        terms = parse_terms(options.term or DESIRABILITY)
        for name, term in terms.items():
            _require_desirability(name, term)
        return Steered(WeightedProduct(terms), "maximize")
    if options.term:
        return Steered(WeightedSum(parse_terms(options.term)), "minimize")
    qed, sa = options.qed_weight, options.sa_weight
    standard = docking_objective(
        QED_WEIGHT if qed is None else qed, SA_WEIGHT if sa is None else sa
    )
    return Steered(standard, "minimize")


def parse_terms(entries: Sequence[str]) -> dict[str, Term]:
    """Terms by component from ``NAME[=WEIGHT[,TRANSFORM[,NUMBER...]]]``.

    ``qed=-8``, ``vina=2,ramp,-5,-11``, ``qed=-8,clip,0,0.7``; the numbers are those of the
    transform, in its order (:mod:`casbo.objective`).

    Raises
    ------
    DockingInputError
        If an entry is of another form, or a component is named twice.
    """
    terms: dict[str, Term] = {}
    for entry in entries:
        name, term = _parse_term(entry)
        if name in terms:
            raise DockingInputError(f"expected one --term for {name}, got a second: {entry!r:.60}")
        terms[name] = term
    return terms


def _parse_term(entry: str) -> tuple[str, Term]:
    name, _, rest = (part.strip() for part in entry.partition("="))
    if name not in DockingScore.components:
        raise DockingInputError(
            f"expected --term with one of {', '.join(DockingScore.components)}, got {entry!r:.60}"
        )
    weight, *transform = (part.strip() for part in (rest or "1").split(","))
    try:
        return name, Term(float(weight), _transform(*transform))
    except (ValueError, ScorerError) as error:
        reason = str(error) if isinstance(error, ScorerError) else "not a number"
        raise DockingInputError(
            f"expected --term as NAME=WEIGHT, or NAME=WEIGHT,TRANSFORM,NUMBERS such as "
            f"vina=2,ramp,-5,-11, got {entry!r:.60}: {reason}"
        ) from None


def _transform(name: str = "identity", *numbers: str) -> Transform:
    if name not in NAMED:
        raise ScorerError(f"the transforms are {', '.join(NAMED)}")
    kind = NAMED[name]
    parameters = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if len(numbers) != len(parameters):
        wanted = ", ".join(parameters) or "no numbers"
        raise ScorerError(f"{name} takes {wanted}")
    values = [float(number) for number in numbers]
    if any(math.isnan(value) for value in values):
        raise ScorerError("nan is no number")
    return kind(*values)


def _require_desirability(name: str, term: Term) -> None:
    """Refuse a term of a product that some value of its component makes negative."""
    if term.weight <= 0:
        raise DockingInputError(
            f"expected --term {name} with a positive weight in a product, got {term.weight:g}; "
            f"turn it round with a transform, such as {name}=1,ramp,WORST,BEST"
        )
    lowest, highest = RANGES.get(name, ANYWHERE)
    made = term.transform(np.linspace(lowest, highest, 1001))
    if made.min() < 0:
        plain = isinstance(term.transform, Identity)
        raise DockingInputError(
            f"expected --term {name} to be 0 or more in a product; "
            f"{'without a transform' if plain else 'with this transform'} it can be negative: "
            f"give it one, such as {name}=1,ramp,WORST,BEST"
        )
