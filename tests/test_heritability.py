"""Heritability against closed forms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo.heredity import ALL, heritability, perturbed
from casbo.objective import WeightedSum
from casbo.rollout import FunctionRollout

STEPS, DIM = 6, 3
GRADIENT = torch.arange(1.0, STEPS * DIM + 1, dtype=torch.float64).reshape(STEPS, DIM)


def itself(noise: torch.Tensor) -> torch.Tensor:
    return noise


def linear_score(samples: list[torch.Tensor]) -> list[float]:
    return [float((GRADIENT * sample).sum()) for sample in samples]


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left.flatten(), right.flatten(), dim=0))


ROLLOUT = FunctionRollout(itself, (STEPS, DIM))


@pytest.mark.parametrize("blocks", [None, 3, {"last": [5], "odd": [1, 3, 5]}])
def test_linear_scores_have_the_correlation_of_the_closed_form(blocks: object) -> None:
    parents = 1500
    found = heritability(ROLLOUT, linear_score, blocks=blocks, parents=parents, seed=4)
    total = float(GRADIENT.square().sum())
    for row, steps in enumerate(found.blocks.values()):
        inside = float(GRADIENT[list(steps)].square().sum())
        for column, s in enumerate(found.scales):
            expected = 1 - (1 - math.sqrt(1 - s**2)) * inside / total
            error = (1 - expected**2) / math.sqrt(parents - 1)
            assert abs(found.correlation[row, column] - expected) < 6 * error + 1e-12


def test_all_steps_at_full_size_is_unrelated_and_none_is_identical() -> None:
    found = heritability(
        ROLLOUT,
        linear_score,
        scales=(1e-9, 1.0),
        parents=500,
        similarity=cosine,
    )
    row = list(found.blocks).index(ALL)
    assert found.correlation[row, 0] == pytest.approx(1.0)
    assert abs(found.correlation[row, 1]) < 6 / math.sqrt(499)
    assert found.similarity is not None
    assert found.similarity[row, 0] == pytest.approx(1.0)
    assert found.similarity[row, 1] == pytest.approx(found.unrelated, abs=0.1)


@given(seed=st.integers(0, 1000), scale=st.floats(0, 1))
@settings(max_examples=25)
def test_perturbation_touches_its_block_alone_and_keeps_the_law(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    noise, fresh = torch.randn(2, 400, STEPS, DIM, generator=generator, dtype=torch.float64)
    children = perturbed(noise, fresh, [1, 4], scale)
    rest = [0, 2, 3, 5]
    assert torch.equal(children[:, rest], noise[:, rest])
    inside = children[:, [1, 4]].flatten()
    assert abs(float(inside.square().mean()) - 1) < 6 * math.sqrt(2 / len(inside))
    cross = float((inside * noise[:, [1, 4]].flatten()).mean())
    assert abs(cross - math.sqrt(1 - scale**2)) < 6 * math.sqrt(2 / len(inside))


def test_queries_are_counted_and_seeds_decide() -> None:
    seen: list[int] = []

    def counting(samples: list[torch.Tensor]) -> list[float]:
        seen.append(len(samples))
        return linear_score(samples)

    options = {"scales": (0.3, 1.0), "blocks": 2, "parents": 10}
    first = heritability(ROLLOUT, counting, seed=1, **options)
    assert sum(seen) == first.queries == 10 * (1 + 3 * 2)
    again = heritability(ROLLOUT, linear_score, seed=1, **options)
    other = heritability(ROLLOUT, linear_score, seed=2, **options)
    assert np.array_equal(first.correlation, again.correlation)
    assert not np.array_equal(first.correlation, other.correlation)


def test_failed_candidates_leave_their_pairs_out() -> None:
    def score(samples: list[torch.Tensor]) -> list[float]:
        return [
            math.nan if s[0, 0] > 0 else v
            for s, v in zip(samples, linear_score(samples), strict=True)
        ]

    found = heritability(ROLLOUT, score, blocks={"last": [5]}, parents=200)
    row = list(found.blocks).index("last")
    assert (found.pairs[row] < 200).all()  # the first step is kept: the same candidates fail
    assert len(set(found.pairs[row])) == 1
    assert found.failed == pytest.approx(0.5, abs=0.1)
    assert np.isfinite(found.correlation[row]).all()


def test_constant_and_failing_scores_give_no_correlation() -> None:
    for value in (1.0, math.nan):
        found = heritability(ROLLOUT, lambda samples, v=value: [v] * len(samples), parents=8)
        assert np.isnan(found.correlation).all()
        assert torch.equal(found.suggested_scales(), torch.ones(STEPS, dtype=torch.float64))
        assert "nan" in found.table()


def test_several_components_need_an_objective() -> None:
    def score(samples: list[torch.Tensor]) -> dict[str, list[float]]:
        values = linear_score(samples)
        return {"a": values, "b": [-v for v in values]}

    with pytest.raises(CasboError, match="objective="):
        heritability(ROLLOUT, score, parents=8)
    weighted = heritability(ROLLOUT, score, parents=8, objective=WeightedSum({"a": 2.0, "b": 1.0}))
    plain = heritability(ROLLOUT, linear_score, parents=8)
    assert np.allclose(weighted.correlation, plain.correlation)


def test_a_component_that_is_not_used_may_fail() -> None:
    def score(samples: list[torch.Tensor]) -> dict[str, list[float]]:
        return {"a": linear_score(samples), "unused": [math.nan] * len(samples)}

    found = heritability(ROLLOUT, score, parents=8, objective=WeightedSum({"a": 1.0}))
    assert found.failed == 0


@pytest.mark.slow
def test_worker_processes_give_the_same_table() -> None:
    options = {"scales": (0.3, 1.0), "blocks": 2, "parents": 6}
    here = heritability(ROLLOUT, linear_score, **options)
    there = heritability(ROLLOUT, linear_score, workers=2, deadline=60, **options)
    assert np.array_equal(here.correlation, there.correlation)


def test_suggested_scales_are_small_where_the_map_is_chaotic() -> None:
    """Step 0 enters through a sine of high frequency, the others linearly."""

    def score(samples: list[torch.Tensor]) -> list[float]:
        return [
            float(3 * torch.sin(40 * sample[0]).sum() + sample[1:].sum()) for sample in samples
        ]

    found = heritability(
        ROLLOUT, score, blocks={"first": [0], "rest": [1, 2, 3, 4, 5]}, parents=400
    )
    suggested = found.suggested_scales(threshold=0.7)
    assert suggested.shape == (STEPS,)
    assert float(suggested[0]) < 0.1
    assert float(suggested[1:].min()) > 0.5
    assert float(suggested.max()) <= 1.0


def test_suggested_scales_are_read_off_between_measured_sizes() -> None:
    """One block of everything and a linear score: the correlation is sqrt(1 - s^2)."""
    scales = tuple(np.linspace(0.02, 1, 50))
    found = heritability(ROLLOUT, linear_score, scales=scales, blocks={}, parents=3000)
    suggested = found.suggested_scales(threshold=0.6)
    assert torch.allclose(suggested, torch.full((STEPS,), 0.8, dtype=torch.float64), atol=0.05)


def test_table_and_plot(tmp_path: Path) -> None:
    found = heritability(
        ROLLOUT, linear_score, parents=8, similarity=lambda a, b: float((a - b).norm())
    )
    text = found.table()
    assert all(name in text for name in found.blocks)
    assert "s = 0.05" in text
    assert "unrelated" in text
    svg = found.plot(tmp_path / "deep" / "heritability.svg").read_text()
    assert svg.startswith("<?xml")
    assert found.plot(tmp_path / "heritability.png").read_bytes().startswith(b"\x89PNG")


def test_one_step_is_all_there_is() -> None:
    rollout = FunctionRollout(itself, (1, DIM))
    found = heritability(rollout, lambda samples: [float(s.sum()) for s in samples], parents=8)
    assert list(found.blocks) == [ALL]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, r"sizes in \(0, 1\]"),
        ({"scales": (0.0, 0.5)}, r"sizes in \(0, 1\]"),
        ({"scales": (1.5,)}, r"sizes in \(0, 1\]"),
        ({"blocks": 7}, "between 1 and 6 blocks"),
        ({"blocks": {"late": [6]}}, "'late' to hold steps between 0 and 5"),
        ({"blocks": {"none": []}}, "'none' to hold steps"),
        ({"parents": 3}, "at least 4 parents, got 3"),
    ],
)
def test_what_cannot_be_is_refused_before_any_query(
    options: dict[str, object], message: str
) -> None:
    def never(samples: list[torch.Tensor]) -> list[float]:
        raise AssertionError("scored")

    with pytest.raises(CasboError, match=message):
        heritability(ROLLOUT, never, **options)
    found = heritability(ROLLOUT, linear_score, parents=8)
    with pytest.raises(CasboError, match="threshold between 0 and 1"):
        found.suggested_scales(threshold=1.0)
