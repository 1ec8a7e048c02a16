"""How many times fewer queries a method needs than another to reach the same costs.

The targets of a reference curve are the costs that it reaches at ten budgets, spaced evenly in
their logarithm from 5 iterations to the whole budget, as in COCO's runlength-based targets (Hansen
et al. 2021, "COCO: a platform for comparing continuous optimizers in a black-box setting", Optim.
Methods Softw. 36, section 6); equal ones count once. A method that misses a target counts as
reaching it at twice the budget (PAR2, the penalised average runtime of algorithm configuration),
and misses are counted beside. Factors are geometric means over targets, then over problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .curves import Study
from .methods import REFERENCE, method_named

TARGETS = 10
FIRST_ITERATIONS = 5
#: A missed target counts as reached at this many budgets.
PENALTY = 2


@dataclass(frozen=True)
class Targets:
    """Costs to reach, from easy to hard, and the queries that the reference took.

    Arguments:
        costs: With shape (M,), falling.
        queries: With shape (M,).
        budget: All queries of a run.
    """

    costs: np.ndarray
    queries: np.ndarray
    budget: int


@dataclass(frozen=True)
class Comparison:
    """A method against a reference on one problem.

    Arguments:
        factor: Reference's queries over the method's; above 1 the method is ahead.
        missed: Targets that the method did not reach.
        targets: How many there were.
    """

    factor: float
    missed: int
    targets: int


@dataclass(frozen=True)
class Standing:
    """A method on one problem, against what the others reach there.

    Arguments:
        over_reference: Against joint pycma's targets.
    at_its_end: Against the hardest of them alone, the cost that it has after the whole budget.
        over_envelope: Against the virtual best peer: at each budget, the lowest median cost that
            any peer has.
        over_best_peer: Against the one peer that is best on the problem, on the same targets.
        best_peer: Which one that is.
    """

    over_reference: Comparison
    at_its_end: Comparison
    over_envelope: Comparison
    over_best_peer: float
    best_peer: str


def queries_to(curve: np.ndarray, costs: np.ndarray, budget: int) -> np.ndarray:
    """Queries (M,) after which a falling curve (T,) is at or below each cost (M,); else inf."""
    reached = curve[None, :] <= costs[:, None]
    queries = (reached.argmax(1) + 1) * (budget / len(curve))
    return np.where(reached.any(1), queries, np.inf)


def targets_of(curve: np.ndarray, budget: int) -> Targets:
    """The targets that a curve (T,) sets."""
    iterations = np.geomspace(min(FIRST_ITERATIONS, len(curve)), len(curve), TARGETS)
    costs = curve[np.round(iterations).astype(int) - 1]
    costs = np.unique(costs[np.isfinite(costs)])[::-1]
    return Targets(costs, queries_to(curve, costs, budget), budget)


def compare(curve: np.ndarray, targets: Targets) -> Comparison:
    """A method's curve (T,) against a reference's targets."""
    needed = queries_to(curve, targets.costs, targets.budget)
    missed = np.isinf(needed)
    counted = np.where(missed, PENALTY * targets.budget, needed)
    return Comparison(geometric_mean(targets.queries / counted), int(missed.sum()), len(missed))


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm; NaN of nothing."""
    logs = np.log(np.array(list(values), dtype=float))
    return float(np.exp(logs.mean())) if len(logs) else float("nan")


def envelope(curves: Iterable[np.ndarray]) -> np.ndarray:
    """The virtual best of curves (T,): the lowest of them at each budget."""
    return np.minimum.reduce(list(curves))


def is_peer(name: str) -> bool:
    """Whether a method, by name or label, is one that casbo's default has to beat."""
    return method_named(name).peer


def standings(study: Study) -> dict[str, dict[str, Standing]]:
    """Problem -> method -> where it stands; problems that the reference or no peer ran left out."""
    found = {}
    for problem in study.curves:
        medians = study.medians(problem)
        peers = {name: curve for name, curve in medians.items() if is_peer(name)}
        if REFERENCE not in peers:
            continue
        reference = targets_of(medians[REFERENCE], study.queries)
        best = targets_of(envelope(peers.values()), study.queries)
        by_peer = {name: compare(curve, best).factor for name, curve in peers.items()}
        best_peer = max(by_peer, key=by_peer.__getitem__)
        found[problem] = {
            name: _standing(curve, reference, best, best_peer, by_peer[best_peer])
            for name, curve in medians.items()
        }
    return found


def _standing(
    curve: np.ndarray, reference: Targets, best: Targets, best_peer: str, best_factor: float
) -> Standing:
    over_envelope = compare(curve, best)
    ratio = over_envelope.factor / best_factor
    end = Targets(reference.costs[-1:], reference.queries[-1:], reference.budget)
    return Standing(
        compare(curve, reference), compare(curve, end), over_envelope, ratio, best_peer
    )


def against(study: Study, reference: str) -> dict[str, dict[str, Comparison]]:
    """Problem -> method -> the comparison with one reference's targets, where that ran."""
    found: dict[str, dict[str, Comparison]] = {}
    for problem in study.curves:
        medians = study.medians(problem)
        if reference in medians:
            targets = targets_of(medians[reference], study.queries)
            found[problem] = {name: compare(curve, targets) for name, curve in medians.items()}
    return found


@dataclass(frozen=True)
class Summary:
    """A method over all problems that it ran.

    Arguments:
        problems: How many.
        over_reference: Geometric mean of the factors over joint pycma.
        behind_reference: On how many problems that factor is below 1.
        missed_reference: Share of joint pycma's targets missed.
    at_its_end: Geometric mean of the factors at joint pycma's last cost.
        over_envelope: Geometric mean of the factors over the virtual best peer.
        missed_envelope: Share of its targets missed.
        over_best_peer: Geometric mean of the factors over each problem's best peer.
        behind_best_peer: On how many problems that factor is below 1.
    """

    problems: int
    over_reference: float
    behind_reference: int
    missed_reference: float
    at_its_end: float
    over_envelope: float
    missed_envelope: float
    over_best_peer: float
    behind_best_peer: int


def summary(places: Iterable[Standing]) -> Summary:
    """Sum up a method's standings."""
    places = list(places)
    references = [place.over_reference for place in places]
    envelopes = [place.over_envelope for place in places]
    best = [place.over_best_peer for place in places]
    return Summary(
        len(places),
        geometric_mean(one.factor for one in references),
        sum(one.factor < 1 for one in references),
        _missed(references),
        geometric_mean(place.at_its_end.factor for place in places),
        geometric_mean(one.factor for one in envelopes),
        _missed(envelopes),
        geometric_mean(best),
        sum(factor < 1 for factor in best),
    )


def summaries(found: Mapping[str, Mapping[str, Standing]]) -> dict[str, Summary]:
    """Every method's summary, the best against joint pycma first."""
    names = {name for methods in found.values() for name in methods}
    made = {
        name: summary(methods[name] for methods in found.values() if name in methods)
        for name in names
    }
    return dict(sorted(made.items(), key=lambda item: -item[1].over_reference))


def _missed(comparisons: list[Comparison]) -> float:
    total = sum(one.targets for one in comparisons)
    return sum(one.missed for one in comparisons) / total if total else float("nan")
