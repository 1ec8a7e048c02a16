"""The Gaussian process: against the conditional of a joint Gaussian, and its invariances."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo.gaussian_process import LENGTHS, NOISES, GaussianProcess

Drawn = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def drawn(count: int, width: int, seed: int) -> Drawn:
    """Points (M, F), a smooth function of them, and other points."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, width, generator=generator, dtype=torch.float64)
    values = torch.sin(points.sum(1)) + 0.1 * points[:, 0]
    return points, values, torch.randn(5, width, generator=generator, dtype=torch.float64)


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 1000))
def test_the_guess_is_the_conditional_mean_of_a_joint_gaussian(
    count: int, width: int, seed: int
) -> None:
    points, values, queries = drawn(count, width, seed)
    process = GaussianProcess.fitted(points, values)
    everything = np.concatenate([queries.numpy(), points.numpy()])
    squares = ((everything[:, None] - everything[None]) ** 2).sum(-1)
    joint = np.exp(-squares / (2 * process.length**2))
    known = joint[5:, 5:] + process.noise * np.eye(count)
    standard = (values.numpy() - values.numpy().mean()) / values.numpy().std()
    mean = joint[:5, 5:] @ np.linalg.solve(known, standard)
    wanted = values.numpy().mean() + values.numpy().std() * mean
    np.testing.assert_allclose(process(queries).numpy(), wanted, rtol=1e-6, atol=1e-8)


@given(st.integers(5, 20), st.integers(0, 1000))
def test_the_choice_has_the_largest_marginal_likelihood(count: int, seed: int) -> None:
    points, values, _ = drawn(count, 3, seed)
    process = GaussianProcess.fitted(points, values)
    standard = (values - values.mean()) / values.std(correction=0)
    squares = torch.cdist(points, points).square()
    median = float(squares[squares > 0].median()) ** 0.5
    likelihoods = {}
    for length in LENGTHS:
        for noise in NOISES:
            kernel = torch.exp(-0.5 * squares / (length * median) ** 2) + noise * torch.eye(count)
            law = torch.distributions.MultivariateNormal(torch.zeros(count).double(), kernel)
            likelihoods[length * median, noise] = float(law.log_prob(standard))
    chosen = min(
        likelihoods, key=lambda key: abs(key[0] - process.length) + abs(key[1] - process.noise)
    )
    assert likelihoods[chosen] >= max(likelihoods.values()) - 1e-6


@given(st.integers(2, 20), st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_guesses_move_with_the_values(count: int, seed: int, offset: float, scale: float) -> None:
    points, values, queries = drawn(count, 3, seed)
    plain = GaussianProcess.fitted(points, values)(queries)
    moved = GaussianProcess.fitted(7 * points, offset + scale * values)(7 * queries)
    torch.testing.assert_close(moved, offset + scale * plain, rtol=1e-5, atol=1e-5 * scale)


def test_a_smooth_function_is_guessed_and_equal_values_are_kept() -> None:
    points, values, queries = drawn(400, 2, 1)
    guessed = GaussianProcess.fitted(points, values)(queries)
    wanted = torch.sin(queries.sum(1)) + 0.1 * queries[:, 0]
    assert float((guessed - wanted).abs().max()) < 0.05
    alike = GaussianProcess.fitted(points[:9], torch.full((9,), 3.0, dtype=torch.float64))
    assert torch.equal(alike(queries), torch.full((5,), 3.0, dtype=torch.float64))
    same = GaussianProcess.fitted(points[:1].expand(4, -1), values[:4])
    torch.testing.assert_close(same(points[:1]), values[:4].mean()[None])
