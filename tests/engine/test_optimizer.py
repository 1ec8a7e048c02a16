"""The optimiser from outside: ask, tell, failures, exact continuation, devices and types."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from casbo import CasboError, Optimizer, Subspace, orthonormal
from casbo.checkpoint import decode, encode
from casbo.optimizer import LARGEST_FULL
from casbo.rules import RULES

from .problems import normal, search
from .test_rules import sphere

NAMES = sorted(RULES)
BLOCKS = Subspace.blocks([(slice(0, 2), orthonormal(normal(8, 3)))], scale=2.0)


def test_asking_twice_gives_the_same_noise_until_it_is_told() -> None:
    optimizer = Optimizer(2, 4, 6)
    first = optimizer.ask()
    first_again = optimizer.ask()
    assert torch.equal(first, first_again)
    first_again.zero_()  # a caller may do what it likes with its copy
    assert torch.equal(first, optimizer.ask())
    optimizer.tell(torch.ones(6))
    assert not torch.equal(first, optimizer.ask())
    assert (optimizer.iteration, optimizer.queries) == (1, 6)


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("outcome", ["constant", "failed"])
def test_uninformative_scores_move_nothing(rule: str, outcome: str) -> None:
    optimizer = search(sphere, 40, 2, 4, 10, rule=rule)
    before = optimizer.state_dict()
    optimizer.ask()
    optimizer.tell(torch.full((10, 2), 3.0 if outcome == "constant" else math.nan))
    after = optimizer.state_dict()
    assert optimizer.queries == 50
    changed = {k for k in before if not _same(before[k], after[k])}
    assert changed == {"iteration"}


@pytest.mark.parametrize("rule", NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_any_scores_keep_the_state_finite(rule: str, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(6,), (6, 2)]))
    dtype = data.draw(st.sampled_from([torch.float32, torch.float64]))
    optimizer = Optimizer(2, 3, 6, rule=rule, dtype=dtype)
    for _ in range(3):
        scores = data.draw(arrays.arrays(np.float64, shape))
        optimizer.ask()
        optimizer.tell(torch.from_numpy(scores))
    controls = optimizer.controls
    assert bool(controls.mean.isfinite().all())
    assert bool((controls.spectrum() > 0).all())
    assert bool(optimizer.ask().isfinite().all())


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("covariance", ["full", "low_rank", "diagonal", "isotropic"])
def test_scores_that_mirrored_pairs_share(rule: str, dtype: torch.dtype, covariance: str) -> None:
    """At the start an even score is tied within each pair: only the covariance can learn."""
    optimizer = Optimizer(3, 20, 8, rule=rule, dtype=dtype, covariance=covariance)
    for _ in range(4):
        optimizer.tell(optimizer.ask()[:, :, :5].square().sum(-1))
        assert bool(optimizer.controls.mean.isfinite().all())
        assert bool((optimizer.controls.spectrum() > 0).all())


@settings(max_examples=40)
@given(shape=st.lists(st.integers(0, 7), max_size=3).map(tuple))
def test_wrong_shapes_are_refused_and_change_nothing(shape: tuple[int, ...]) -> None:
    optimizer = Optimizer(2, 3, 6)
    noise = optimizer.ask()
    if shape not in {(6,), (6, 2)}:
        with pytest.raises(CasboError, match=r"shape \(6,\) or \(6, 2\)"):
            optimizer.tell(torch.zeros(shape))
        assert optimizer.queries == 0
        assert torch.equal(optimizer.ask(), noise)


def test_lists_with_nothing_in_place_of_a_score() -> None:
    optimizer = Optimizer(2, 3, 4)
    optimizer.ask()
    optimizer.tell([1.0, None, 2.0, math.inf])  # type: ignore[list-item]
    assert optimizer.queries == 4


def test_telling_without_asking_or_twice_is_refused() -> None:
    optimizer = Optimizer(1, 3, 4)
    with pytest.raises(CasboError, match="ask"):
        optimizer.tell(torch.zeros(4))
    optimizer.ask()
    optimizer.tell([1, 2, 3, 4])
    with pytest.raises(CasboError, match="ask"):
        optimizer.tell([1, 2, 3, 4])
    assert optimizer.queries == 4


@pytest.mark.parametrize("rule", NAMES)
def test_failed_candidates_are_survived(rule: str) -> None:
    """One candidate in five fails at random: the search still gets there."""
    rng = np.random.default_rng(1)

    def cost(noise: torch.Tensor) -> torch.Tensor:
        values = sphere(noise)
        values[torch.from_numpy(rng.random(len(noise)) < 0.2)] = math.nan
        return values

    optimizer = search(cost, 4_000, 2, 4, 20, rule=rule, noise_norm="free")
    start = 2 * 4 * 1.5**2
    left = float((optimizer.controls.mean_noise() - 1.5).square().sum())
    assert left < (0.6 if rule == "paper" else 0.01) * start


@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"covariance": "low_rank", "rank": 3},
        {"covariance": "diagonal", "dtype": torch.float32},
        {"space": "shared"},
        {"space": BLOCKS},
    ],
)
@pytest.mark.parametrize("pending", [False, True])
def test_interrupted_equals_uninterrupted_bit_for_bit(
    rule: str, options: dict[str, Any], pending: bool
) -> None:
    def make() -> Optimizer:
        return Optimizer(3, 4, 8, seed=5, rule=rule, **options)

    straight = make()
    for _ in range(8):
        straight.tell(sphere(straight.ask()))
    stopped = make()
    for _ in range(4):
        stopped.tell(sphere(stopped.ask()))
    noise = stopped.ask() if pending else None
    state = decode(encode(stopped.state_dict()), "the test's")  # as a run folder keeps it
    resumed = make()
    resumed.load_state_dict(state)
    for step in range(4):
        if pending and step == 0:  # the scores arrive after the restart
            assert noise is not None
            resumed.tell(sphere(noise))
        else:
            resumed.tell(sphere(resumed.ask()))
    expected, found = straight.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys()
    assert all(_same(expected[name], found[name]) for name in expected)


def test_a_state_is_not_shared_with_its_optimiser() -> None:
    optimizer = search(sphere, 20, 2, 4, 10)
    state = optimizer.state_dict()
    mean = optimizer.controls.mean.clone()
    for value in state.values():
        if isinstance(value, torch.Tensor):
            value.zero_()
    assert torch.equal(optimizer.controls.mean, mean)


def test_states_of_other_options_are_refused() -> None:
    state = Optimizer(2, 4, 10).state_dict()
    with pytest.raises(CasboError, match=r"population: 10, here 12"):
        Optimizer(2, 4, 12).load_state_dict(state)
    with pytest.raises(CasboError, match="rule"):
        Optimizer(2, 4, 10, pooling=0.1).load_state_dict(state)
    with pytest.raises(CasboError, match="format"):
        Optimizer(2, 4, 10).load_state_dict({})
    del state["mean"]
    with pytest.raises(CasboError, match="mean"):
        Optimizer(2, 4, 10).load_state_dict(state)


def test_a_state_holds_plain_values_only() -> None:
    state = Optimizer(2, 4, 10, space=BLOCKS).state_dict()
    assert all(isinstance(v, (torch.Tensor, int, float, str)) for v in state.values())


def test_noise_depends_on_seed_iteration_and_index_alone() -> None:
    """Growing the population leaves the candidates that were there as they are."""
    few, many = (Optimizer(2, 4, n, seed=3, rule="ingo").ask() for n in (5, 9))
    assert torch.equal(few, many[:5])
    pairs = Optimizer(2, 4, 6, seed=3).ask()
    assert torch.equal(pairs[3:], -pairs[:3])
    assert not torch.equal(few, Optimizer(2, 4, 5, seed=4, rule="ingo").ask())


def test_global_generators_are_left_alone() -> None:
    before = torch.random.get_rng_state()
    search(sphere, 20, 2, 4, 10)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("rule", NAMES)
def test_float32_follows_float64(rule: str) -> None:
    single, double = (
        search(sphere, 60, 2, 4, 10, rule=rule, dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    assert single.ask().dtype == torch.float32
    torch.testing.assert_close(
        single.controls.mean.double(), double.controls.mean, atol=1e-3, rtol=1e-3
    )


@pytest.mark.gpu
@pytest.mark.parametrize("rule", NAMES)
@pytest.mark.parametrize("covariance", ["full", "low_rank", "diagonal", "isotropic"])
def test_cuda_follows_the_cpu(rule: str, covariance: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    there, here = (
        search(sphere, 100, 2, 4, 10, rule=rule, covariance=covariance, device=device)
        for device in ("cuda", "cpu")
    )
    assert there.ask().device.type == "cuda"
    torch.testing.assert_close(there.controls.mean.cpu(), here.controls.mean, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps to be an integer of at least 1, got 0"),
        ({"dim": 2.0}, "dim"),
        ({"population": True + 0.5}, "population"),
        ({"seed": -1}, "seed"),
        ({"direction": "up"}, "direction among"),
        ({"covariance": "dense"}, "low_rank"),
        ({"rank": 3, "covariance": "full"}, "low_rank"),
        ({"noise_norm": "fixed"}, "project"),
        ({"dtype": torch.float16}, "float32"),
        ({"space": "all"}, "per_step"),
        ({"shaping": "ranks"}, "pooling"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CasboError, match=message):
        Optimizer(**{"steps": 2, "dim": 3, "population": 4, **options})


def test_a_covariance_of_many_coordinates_is_of_low_rank_unless_asked_for_in_full() -> None:
    def kind(**options: Any) -> str:
        optimizer = Optimizer(**{"steps": 1, "population": 4, **options})
        return type(optimizer.controls.covariance).__name__

    assert kind(dim=LARGEST_FULL) == "Full"
    assert kind(dim=LARGEST_FULL + 1) == "LowRank"
    assert kind(dim=LARGEST_FULL + 1, covariance="full") == "Full"
    assert kind(dim=3, rank=2) == "LowRank"


def test_a_start_covariance_of_another_shape_is_refused() -> None:
    from casbo import Full

    with pytest.raises(CasboError, match="2 Gaussians in 3"):
        Optimizer(2, 3, 4, covariance=Full.identity(3, 3))


def _same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.shape == other.shape and bool(
            torch.equal(one.nan_to_num(-1e300), other.nan_to_num(-1e300))
        )
    return one == other
