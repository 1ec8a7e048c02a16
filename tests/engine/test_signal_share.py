"""The share of signal in a score's variance, against least squares and where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo import Optimizer
from casbo.rules.base import State
from casbo.rules.signal_share import PRIOR_POPULATIONS, SignalShare, explored_share

from .problems import normal, varied

POPULATIONS = st.lists(
    st.tuples(st.floats(0.05, 1.0), st.integers(0, 1000)), min_size=1, max_size=12
)


def seen(populations: list[tuple[float, int]], scale: float = 1.0) -> SignalShare:
    shares = SignalShare.zeros()
    for explored, seed in populations:
        shares = shares.updated(explored, scale * (1 + seed) * normal(8, seed=seed))
    return shares


@given(populations=POPULATIONS, at=st.floats(0.05, 1.0))
def test_against_least_squares(populations: list[tuple[float, int]], at: float) -> None:
    """One row more says that the constant is 0, as `PRIOR_POPULATIONS` populations would."""
    e = np.array([explored for explored, _ in populations])
    variances = [float(((1 + seed) * normal(8, seed=seed)).var()) for _, seed in populations]
    rows = np.column_stack([[*e, 0.0], [*np.ones(len(e)), PRIOR_POPULATIONS**0.5]])
    slope, constant = np.linalg.lstsq(rows, np.array([*variances, 0.0]), rcond=None)[0]
    found = seen(populations).at(at)
    assert 0 < found <= 1
    size = max(variances)
    if constant > 1e-9 * size and slope > 1e-9 * size:
        assert found == pytest.approx(slope * at / (slope * at + constant), rel=1e-4, abs=1e-6)
    elif constant < -1e-9 * size:
        assert found == 1


@given(populations=POPULATIONS, at=st.floats(0.05, 1.0), scale=st.floats(1e-100, 1e100))
def test_a_score_has_no_unit(
    populations: list[tuple[float, int]], at: float, scale: float
) -> None:
    assert seen(populations, scale).at(at) == pytest.approx(seen(populations).at(at), rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_a_share_that_is_known(noise: float) -> None:
    """Candidates differ by N(0, e) of signal and N(0, noise^2) of noise."""
    shares, generator = SignalShare.zeros(), torch.Generator().manual_seed(0)
    for explored in torch.linspace(1.0, 0.1, 400).tolist():
        scores = torch.randn(2, 64, generator=generator, dtype=torch.float64)
        shares = shares.updated(explored, explored**0.5 * scores[0] + noise * scores[1])
    for explored in (1.0, 0.3):
        wanted = explored / (explored + noise**2)
        # 400 variances of 63 degrees of freedom fix slope and constant to a few in a hundred
        assert shares.at(explored) == pytest.approx(wanted, abs=0.06)


def test_fewer_than_two_scores_tell_nothing() -> None:
    shares = seen([(1.0, 3)])
    assert shares.updated(0.5, torch.ones(1).double()) is shares
    assert SignalShare.zeros().at(0.5) == 1


def test_the_explored_share_is_that_of_the_noise() -> None:
    mean = 0.7 * normal(2, 500, seed=1)
    memory = {"step.sigma": torch.tensor(0.5).double()}
    share = explored_share(State(mean, varied("isotropic", 2, 500), memory))
    drawn = 0.5 * normal(400, 2, 500, seed=2)
    whole = (drawn + mean).square().mean()
    assert share == pytest.approx(float(drawn.square().mean() / whole), rel=0.01)


def test_noise_of_the_score_does_not_end_the_search() -> None:
    """A search whose step size followed success alone would stand still from 20 iterations on."""
    K, D, N = 4, 600, 16
    direction = torch.nn.functional.normalize(normal(K * D, seed=9), dim=0)
    optimizer, gains = Optimizer(K, D, N, 1, direction="maximize", rank=8), []
    for iteration in range(80):
        scores = optimizer.ask().flatten(1) @ direction
        optimizer.tell(scores + 2 * normal(N, seed=100 + iteration))
        mean = optimizer.controls.mean_noise().flatten()
        gains.append(float((K * D) ** 0.5 * mean @ direction / mean.norm()))
    assert gains[79] > 1.25 * gains[19]
