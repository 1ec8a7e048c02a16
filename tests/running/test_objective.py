"""Objectives: weighted sums, their transforms and the NaN rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.errors import ScorerError
from casbo.objective import (
    Clip,
    FirstComponent,
    Identity,
    Linear,
    Ramp,
    Sigmoid,
    SingleComponent,
    Term,
    WeightedProduct,
    WeightedSum,
    Window,
)

NUMBERS = st.floats(-1e6, 1e6)
WIDTHS = NUMBERS.filter(lambda width: abs(width) > 1e-3)
MONOTONE = st.one_of(
    st.just(Identity()),
    st.builds(Linear, NUMBERS, NUMBERS),
    st.builds(lambda low, width: Clip(low, low + abs(width)), NUMBERS, WIDTHS),
    st.builds(lambda low: Clip(low=low), NUMBERS),
    st.builds(lambda high: Clip(high=high), NUMBERS),
    st.builds(Sigmoid, NUMBERS, WIDTHS),
    st.builds(lambda none, width: Ramp(none, none + width), NUMBERS, WIDTHS),
)
WINDOWS = st.builds(lambda low, width: Window(low, low + abs(width), abs(width)), NUMBERS, WIDTHS)
TRANSFORMS = st.one_of(MONOTONE, WINDOWS)
SUMS = st.dictionaries(
    st.text(min_size=1), st.builds(Term, NUMBERS, TRANSFORMS), min_size=1, max_size=4
).map(WeightedSum)


@given(SUMS, st.data())
def test_the_description_is_the_objective(objective: WeightedSum, data: st.DataObject) -> None:
    again = WeightedSum.from_description(objective.describe())
    components = {
        name: np.array(data.draw(st.lists(NUMBERS, min_size=3, max_size=3)))
        for name in objective.terms
    }
    np.testing.assert_array_equal(again(components), objective(components))


@given(SUMS, st.data())
def test_nan_in_a_used_component_is_nan_and_elsewhere_is_not(
    objective: WeightedSum, data: st.DataObject
) -> None:
    broken = data.draw(st.sampled_from(sorted(objective.terms)))
    components = {name: np.array([1.0, 2.0]) for name in objective.terms}
    components[broken] = np.array([math.nan, 2.0])
    unused = {**components, broken + "?": np.array([math.nan, math.nan])}
    unused = {name: unused[name] for name in unused if name in components or name == broken + "?"}
    total = objective(unused)
    assert math.isnan(total[0])
    assert np.isfinite(total[1])


@given(MONOTONE, st.lists(NUMBERS, min_size=2, max_size=8))
def test_transforms_are_monotone(transform: object, values: list[float]) -> None:
    ordered = transform(np.sort(np.array(values)))  # type: ignore[operator]
    steps = np.diff(ordered)
    assert (steps >= 0).all() or (steps <= 0).all()


def test_sigmoid_is_the_logistic_function() -> None:
    x = np.linspace(-5, 5, 11)
    np.testing.assert_allclose(Sigmoid(1.0, 0.5)(x), 1 / (1 + np.exp(-(x - 1) / 0.5)), rtol=1e-10)


def test_the_sum_by_hand() -> None:
    objective = WeightedSum({"vina": 1.0, "qed": Term(-3.0, Clip(high=0.7))})
    total = objective({"vina": np.array([-6.0, -5.0]), "qed": np.array([0.5, 0.9])})
    np.testing.assert_allclose(total, [-6.0 - 1.5, -5.0 - 2.1])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: WeightedSum({}),
        lambda: Clip(1.0, 1.0),
        lambda: Sigmoid(0.0, 0.0),
        lambda: Term(math.nan),
        lambda: Linear(scale=math.inf),
        lambda: WeightedSum.from_description({"objective": "Other"}),
        lambda: WeightedSum({"a": 1.0})({"b": np.array([1.0])}),
        lambda: SingleComponent()({"a": np.array([1.0]), "b": np.array([1.0])}),
    ],
)
def test_errors_name_the_fix(wrong: object) -> None:
    with pytest.raises(ScorerError, match="Expected"):
        wrong()  # type: ignore[operator]


def test_single_and_first_component() -> None:
    assert SingleComponent()({"x": np.array([2.0])})[0] == 2.0
    assert FirstComponent()({"b": np.array([2.0]), "a": np.array([1.0])})[0] == 1.0


def test_ramps_rise_or_fall_and_hold() -> None:
    values = np.array([-12.0, -11.0, -8.0, -5.0, 0.0])
    np.testing.assert_allclose(Ramp(-5.0, -11.0)(values), [1.0, 1.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(Ramp(-11.0, -5.0)(values), [0.0, 0.0, 0.5, 1.0, 1.0])


def test_a_window_is_high_inside_and_symmetric() -> None:
    window = Window(1.0, 3.0, 0.1)
    assert window(np.array([2.0]))[0] == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(window(np.array([1.0, 3.0])), 0.5, atol=1e-6)
    np.testing.assert_allclose(
        window(np.array([0.0, 1.3])), window(np.array([4.0, 2.7])), rtol=1e-9
    )


def test_a_product_is_the_weighted_geometric_mean() -> None:
    objective = WeightedProduct({"a": 1.0, "b": Term(3.0, Ramp(0.0, 10.0))})
    found = objective({"a": np.array([0.16, 0.5, 0.0]), "b": np.array([10.0, 5.0, 9.0])})
    np.testing.assert_allclose(found, [0.16**0.25, 0.5, 0.0])
    assert math.isnan(objective({"a": np.array([math.nan]), "b": np.array([1.0])})[0])
    again = WeightedProduct.from_description(objective.describe())
    np.testing.assert_array_equal(
        again({"a": np.array([0.3]), "b": np.array([2.0])}),
        objective({"a": np.array([0.3]), "b": np.array([2.0])}),
    )


def test_products_refuse_what_has_no_root() -> None:
    with pytest.raises(ScorerError, match="transform from 0 to 1"):
        WeightedProduct({"vina": 1.0})({"vina": np.array([-7.0])})
    with pytest.raises(ScorerError, match="positive weight"):
        WeightedProduct({"qed": -1.0})
    for wrong in (lambda: Ramp(1.0, 1.0), lambda: Window(2.0, 1.0, 0.1), lambda: Window(0, 1, 0)):
        with pytest.raises(ScorerError, match="Expected"):
            wrong()
