"""The suite: stable names, a balanced core, and faults in the shares they are named after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo_functions import (
    FORMULAS,
    ROLLOUTS,
    SUITES,
    ProblemSpec,
    core_suite,
    full_suite,
    hard_suite,
    small_suite,
)
from casbo_functions.suite import SIZES

PROPERTIES: dict[str, Callable[[ProblemSpec], Any]] = {
    "function": lambda spec: spec.function,
    "dynamics": lambda spec: spec.dynamics,
    "score": lambda spec: spec.score,
    "size": lambda spec: spec.size,
}
PLAIN = [spec for spec in core_suite() if not spec.noise and not spec.failures]


def test_the_full_suite_is_the_whole_product_three_times() -> None:
    names = {spec.name for spec in full_suite()}
    assert len(names) == len(full_suite()) == 3 * len(FORMULAS) * len(ROLLOUTS) * 2 * len(SIZES)


@pytest.mark.parametrize("suite", SUITES)
def test_names_are_unique_and_read_back(suite: str) -> None:
    specs = SUITES[suite]()
    assert len({spec.name for spec in specs}) == len(specs)
    assert [ProblemSpec.named(spec.name) for spec in specs] == list(specs)


@given(
    st.builds(
        ProblemSpec,
        function=st.sampled_from(list(FORMULAS)),
        dynamics=st.sampled_from(list(ROLLOUTS)),
        cumulative=st.booleans(),
        dim=st.integers(1, 10_000),
        steps=st.integers(1, 10_000),
        noise=st.sampled_from([0.0, 0.1, 0.25]),
        failures=st.sampled_from([0.0, 0.1, 0.5]),
    )
)
def test_any_specification_has_a_name_that_makes_it(spec: ProblemSpec) -> None:
    assert ProblemSpec.named(spec.name) == spec


@given(st.text())
def test_a_text_that_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(CasboError, match="ellipsoid/rotation/terminal/20x10"):
        ProblemSpec.named(text)


@pytest.mark.parametrize("kind", PROPERTIES)
def test_every_value_is_as_frequent_as_any_other(kind: str) -> None:
    counts = Counter(map(PROPERTIES[kind], PLAIN))
    assert set(counts.values()) == {len(PLAIN) // len(counts)}


@pytest.mark.parametrize("pair", list(combinations(PROPERTIES, 2)))
def test_no_two_properties_go_together(pair: tuple[str, str]) -> None:
    """Every pair of values occurs, and as evenly as 40 problems allow."""
    first, second = (PROPERTIES[kind] for kind in pair)
    counts = Counter((first(spec), second(spec)) for spec in PLAIN)
    assert len(counts) == len({first(s) for s in PLAIN}) * len({second(s) for s in PLAIN})
    assert max(counts.values()) - min(counts.values()) <= 1


def test_every_dynamics_has_each_size_with_each_score_once() -> None:
    counts = Counter((spec.dynamics, spec.size, spec.score) for spec in PLAIN)
    assert len(counts) == 40


@pytest.mark.parametrize("fault", ["noise", "failures"])
def test_faults_come_with_every_size_once_and_either_score(fault: str) -> None:
    faulty = [spec for spec in core_suite() if getattr(spec, fault)]
    assert len({spec.size for spec in faulty}) == len(faulty) == 4
    assert Counter(spec.cumulative for spec in faulty) == {False: 2, True: 2}


@pytest.mark.parametrize("suite", [small_suite, hard_suite])
def test_the_small_and_the_hard_suite_are_part_of_the_core(suite: Callable[[], Any]) -> None:
    assert set(suite()) < set(core_suite())
    assert len(suite()) == 10
    assert {spec.function for spec in suite()} == set(FORMULAS)
    assert {spec.dynamics for spec in suite()} == set(ROLLOUTS)
