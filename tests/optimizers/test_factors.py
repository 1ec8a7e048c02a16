"""Factors on curves made by hand, for which they can be counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.optimizers.curves import SOLVED, Study, load
from benchmarks.optimizers.factors import (
    compare,
    envelope,
    geometric_mean,
    queries_to,
    standings,
    summaries,
    targets_of,
)
from casbo.errors import CasboError

N, T = 20, 200
BUDGET = N * T
POWERS = 1e6 * np.arange(1, T + 1) ** -2.0  # pycma's curve: every cost once


def faster(curve: np.ndarray, times: int) -> np.ndarray:
    """The curve of a method that needs that many times fewer queries."""
    return curve[np.minimum(np.arange(1, T + 1) * times, T) - 1]


def slower(curve: np.ndarray, times: int) -> np.ndarray:
    """The curve of a method that needs that many times more queries."""
    return np.concatenate([[1e9] * (times - 1), np.repeat(curve, times)])[:T]


def study(**curves: np.ndarray) -> Study:
    return studies({"sphere/rotation/terminal/10x5": curves})


def studies(curves: dict[str, dict[str, np.ndarray]]) -> Study:
    rows = {p: {n: np.array([c, c, c]) for n, c in found.items()} for p, found in curves.items()}
    return Study(N, BUDGET, rows, (0, 1, 2), {}, {}, ())


def test_targets_are_ten_budgets_from_five_iterations_to_all() -> None:
    targets = targets_of(POWERS, BUDGET)
    assert len(targets.costs) == 10
    assert (np.diff(targets.costs) < 0).all()
    assert targets.queries[0] == 5 * N
    assert targets.queries[-1] == BUDGET
    ratios = targets.queries[1:] / targets.queries[:-1]
    assert ratios == pytest.approx((T / 5) ** (1 / 9), rel=0.1)


def test_a_curve_that_stops_falling_sets_each_target_once() -> None:
    targets = targets_of(np.where(np.arange(T) < 30, 10.0, 1.0), BUDGET)
    assert targets.costs.tolist() == [10.0, 1.0]
    assert targets.queries.tolist() == [N, 31 * N]


@given(st.integers(1, 5))
def test_the_factor_is_how_many_times_fewer_queries(times: int) -> None:
    found = compare(faster(POWERS, times), targets_of(POWERS, BUDGET))
    assert found.missed == 0
    # queries come in whole iterations: 5 iterations, 5 times faster, is one
    assert found.factor == pytest.approx(times, rel=0.1)


def test_a_missed_target_counts_as_reached_after_two_budgets() -> None:
    targets = targets_of(POWERS, BUDGET)
    never = compare(np.full(T, 1e9), targets)
    assert never.missed == never.targets == 10
    assert never.factor == pytest.approx(geometric_mean(targets.queries / (2 * BUDGET)))
    late = compare(slower(POWERS, 2), targets)
    hit = targets.queries * 2 <= BUDGET
    assert late.missed == (~hit).sum()
    expected = np.where(hit, 0.5, targets.queries / (2 * BUDGET))
    assert late.factor == pytest.approx(geometric_mean(expected))


@given(st.lists(st.floats(1e-6, 1e6), min_size=T, max_size=T))
def test_every_method_ties_with_itself(costs: list[float]) -> None:
    curve = np.minimum.accumulate(costs)
    found = compare(curve, targets_of(curve, BUDGET))
    assert found.factor == pytest.approx(1)
    assert found.missed == 0


def test_queries_count_whole_populations() -> None:
    curve = np.array([5.0, 5.0, 2.0, 1.0])
    assert queries_to(curve, np.array([9.0, 5.0, 3.0, 1.0, 0.5]), 40).tolist() == [
        10,
        10,
        30,
        40,
        np.inf,
    ]


def test_the_best_peer_and_the_virtual_best_are_told_apart() -> None:
    """VkD is twice as fast as pycma, LM-MA-ES leads for 10 iterations: the envelope has both."""
    leader = faster(POWERS, 2)
    early = np.where(np.arange(T) < 10, faster(POWERS, 4), POWERS[40])
    own = faster(POWERS, 3)
    curves = {"pycma": POWERS, "vkd": leader, "lm-ma-es": early, "default": own}
    found = standings(study(**curves))["sphere/rotation/terminal/10x5"]
    best = targets_of(envelope([POWERS, leader, early]), BUDGET)
    assert found["default"].over_reference.factor == pytest.approx(3, rel=0.1)
    assert found["default"].over_envelope == compare(own, best)
    assert found["default"].best_peer == "vkd"
    ratio = compare(own, best).factor / compare(leader, best).factor
    assert found["default"].over_best_peer == pytest.approx(ratio)
    assert found["vkd"].over_best_peer == pytest.approx(1)
    assert all(found[name].over_envelope.factor <= 1 for name in ("pycma", "vkd", "lm-ma-es"))


def test_casbo_is_no_peer_of_itself() -> None:
    found = standings(study(pycma=POWERS, default=faster(POWERS, 4)))
    (places,) = found.values()
    assert places["default"].best_peer == "pycma"
    assert places["pycma"].over_envelope.factor == pytest.approx(1)


def test_a_summary_is_the_geometric_mean_over_problems() -> None:
    names = [f"sphere/{dynamics}/terminal/10x5" for dynamics in ("identity", "rotation")]
    found = standings(
        studies(
            {
                names[0]: {"pycma": POWERS, "default": faster(POWERS, 4)},
                names[1]: {"pycma": POWERS, "default": slower(POWERS, 2)},
            }
        )
    )
    made = summaries(found)["default"]
    each = [found[name]["default"].over_reference for name in names]
    assert made.problems == 2
    assert made.over_reference == pytest.approx(np.sqrt(each[0].factor * each[1].factor))
    assert made.behind_reference == made.behind_best_peer == 1
    assert made.missed_reference == pytest.approx((each[0].missed + each[1].missed) / 20)


def test_a_problem_without_joint_pycma_is_left_out() -> None:
    assert standings(study(vkd=POWERS, default=POWERS)) == {}


def line(method: str, seed: int, curve: np.ndarray, **changes: object) -> str:
    content = {
        "problem": "sphere/rotation/terminal/10x5",
        "method": method,
        "seed": seed,
        "population": N,
        "queries": BUDGET,
        "cpu_seconds": 0.5,
        "stopped": None,
        "versions": {"casbo": "1"},
        "best": curve.tolist(),
    }
    return json.dumps(content | changes) + "\n"


def test_files_become_medians_over_seeds(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(line("pycma", 0, POWERS) + line("pycma", 1, 3 * POWERS) + '{"problem": "cut')
    second.write_text(line("pycma", 2, 100 * POWERS) + line("vkd", 0, 0 * POWERS))
    read = load([first, second])
    assert read.seeds == (0, 1, 2)
    assert read.medians("sphere/rotation/terminal/10x5")["pycma"] == pytest.approx(3 * POWERS)
    assert (read.medians("sphere/rotation/terminal/10x5")["vkd"] == SOLVED).all()
    assert read.seconds["vkd"] == pytest.approx(0.5 / T)
    assert load([first, second], seeds=range(1), methods=["vkd"]).methods == ["vkd"]


def test_a_run_without_any_cost_yet_is_infinitely_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line("pycma", 0, POWERS, best=[None, *POWERS[1:]]))
    assert load([path]).medians("sphere/rotation/terminal/10x5")["pycma"][0] == np.inf


def test_budgets_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line("pycma", 0, POWERS) + line("pycma", 0, POWERS, population=32))
    with pytest.raises(CasboError, match="--population"):
        load([path])
    assert load([path], population=32).population == 32
    with pytest.raises(CasboError, match="none"):
        load([tmp_path / "absent.jsonl"])
