"""The skipping sampler: exact posteriors, right marginals, the full chain as a special case."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from targetdiff_samples import TINY, noise_for

from casbo_molecules.targetdiff import (
    Sampler,
    TargetDiffConfig,
    TargetDiffError,
    TargetDiffRollout,
)
from casbo_molecules.targetdiff.categorical import Kept, gumbel, log_one_hot, log_posterior
from casbo_molecules.targetdiff.network import Batch
from casbo_molecules.targetdiff.schedule import Schedule

C = 13


def one_step_matrices(config):
    """Q_t (T, C, C) of the chain of types, from its definition."""
    kept = Schedule(config).log_alphas_v.exp()[:, None, None]
    return kept * torch.eye(C, dtype=torch.float64) + (1 - kept) / C


@settings(max_examples=40)
@given(st.data())
def test_skip_posterior_against_products_of_matrices(data):
    """Bayes' rule on the brute-force chain, for uncertain clean types too."""
    matrices = one_step_matrices(TINY)
    t = data.draw(st.integers(1, len(matrices) - 1))
    s = data.draw(st.integers(0, t - 1))
    v_t = data.draw(st.integers(0, C - 1))
    weights = data.draw(st.lists(st.floats(0.01, 1.0), min_size=C, max_size=C))
    p0 = torch.tensor(weights, dtype=torch.float64)
    p0 = p0 / p0.sum()
    until = torch.linalg.multi_dot(
        [torch.eye(C).double(), torch.eye(C).double(), *matrices[: s + 1]]
    )
    between = torch.linalg.multi_dot(
        [torch.eye(C).double(), torch.eye(C).double(), *matrices[s + 1 : t + 1]]
    )
    joint = (p0 @ until) * between[:, v_t]
    log_v = Schedule(TINY).log_alphas_cumprod_v.tolist()
    found = log_posterior(
        p0.log(), torch.tensor(v_t), Kept.of(log_v[s]), Kept.of(log_v[t] - log_v[s])
    )
    torch.testing.assert_close(found.exp(), joint / joint.sum(), rtol=1e-9, atol=1e-12)


@given(st.floats(0, 1), st.integers(2, 40))
def test_positions_keep_the_forward_marginal(eta, steps):
    """x_t ~ N(sqrt(bar_t) x_0, 1 - bar_t) becomes the same at s, for every eta."""
    schedule = Schedule(TINY)
    bar = schedule.alphas_cumprod.tolist()
    chain = Sampler(steps=steps, eta=eta).schedule(schedule)
    for step, following in pairwise(chain):
        t, s = bar[step.time], bar[following.time]
        assert math.isclose(step.clean + step.kept * math.sqrt(t), math.sqrt(s), rel_tol=1e-12)
        variance = step.kept**2 * (1 - t) + step.spread**2
        assert math.isclose(variance, 1 - s, rel_tol=1e-9)
    assert chain[-1][:4] == (0, 1.0, 0.0, 0.0)
    assert [step.spread > 0 for step in chain[:-1]] == [eta**2 > 0] * (steps - 1)


def test_times_run_from_the_first_to_the_last():
    for steps in (2, 3, 17, 40):
        times = Sampler(steps=steps).times(40)
        assert len(set(times)) == steps
        assert (times[0], times[-1]) == (39, 0)
        assert times == sorted(times, reverse=True)


def test_full_chain_is_the_authors_loop(tiny, pocket):
    """All T steps with eta = 1 against the loop as it is described, under the same noise."""
    rollout = TargetDiffRollout(tiny, pocket, 5, Sampler(steps=40, eta=1.0))
    noise = noise_for(rollout, 1)
    (ours,) = rollout(noise).samples
    tables, network = Schedule(TINY).tensors(), tiny.network
    centre = pocket.positions.mean(dim=0)
    protein = (pocket.positions - centre).float()
    x = noise[0, 0, :15].view(5, 3).float()
    v = noise[0, 0, 15:].view(5, C).argmax(-1)
    graphs = torch.zeros(len(protein), dtype=torch.long), torch.zeros(5, dtype=torch.long)
    for t in range(39, -1, -1):
        with torch.no_grad():
            found = network(Batch(protein, pocket.features, graphs[0], x, v, graphs[1]))
        row = 40 - t
        x = (
            tables["posterior_mean_c0_coef"][t] * found.positions
            + tables["posterior_mean_ct_coef"][t] * x
        )
        log_v0 = found.logits.log_softmax(-1)
        before = max(t - 1, 0)
        prior = torch.logaddexp(
            log_v0 + tables["log_alphas_cumprod_v"][before],
            tables["log_one_minus_alphas_cumprod_v"][before] - math.log(C),
        )
        step = torch.logaddexp(
            log_one_hot(v, C) + tables["log_alphas_v"][t],
            tables["log_one_minus_alphas_v"][t] - math.log(C),
        )
        log_p = (prior + step).log_softmax(-1)
        if t > 0:
            z = noise[0, row]
            x = x + (0.5 * tables["posterior_logvar"][t]).exp() * z[:15].view(5, 3).float()
            uniform = torch.special.ndtr(z[15:]).view(5, C)
            log_p = log_p - (-uniform.log()).log()
        v = log_p.argmax(-1)
    numbers = torch.tensor([1, 6, 6, 7, 7, 8, 8, 9, 15, 15, 16, 16, 17])[v]
    assert ours.atomic_numbers == tuple(numbers.tolist())
    np.testing.assert_allclose(ours.positions, (x.double() + centre).numpy(), atol=2e-5)


def test_gumbel_noise_has_its_law_and_finite_tails():
    u = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    torch.testing.assert_close(gumbel(torch.special.ndtri(u)), -(-u.log()).log())
    extreme = gumbel(torch.tensor([-1e9, -40.0, 40.0, 1e9]))
    assert bool(extreme.isfinite().all())
    assert bool((extreme[1:] >= extreme[:-1]).all())


def test_types_are_drawn_from_their_probabilities():
    """Frequencies within five standard errors, for a fixed seed."""
    p = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    drawn = (p.log() + gumbel(z)).argmax(-1).bincount(minlength=4) / len(z)
    assert bool(((drawn - p).abs() < 5 * (p * (1 - p) / len(z)).sqrt()).all())


def test_the_authors_last_draw_of_types_would_hardly_ever_change_one():
    """What the sampler's documentation says about t = 0, for any prediction of at least 1 %."""
    step = Sampler(steps=1000).schedule(Schedule(TargetDiffConfig()))[-1]
    p0 = torch.full((C,), 0.99 / (C - 1), dtype=torch.float64)
    p0[0] = 0.01
    log_p = log_posterior(p0.log(), torch.tensor(0), step.until, step.between)
    assert 1 - float(log_p[0].exp()) < 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 1}, "at least 2 steps"),
        ({"eta": 1.5}, "eta from 0 to 1"),
        ({"eta": math.nan}, "eta from 0 to 1"),
        ({"types": "random"}, "steered, frozen, argmax"),
    ],
)
def test_senseless_samplers_are_refused(options, words):
    with pytest.raises(TargetDiffError, match=words):
        Sampler(**options)


def test_more_steps_than_times_are_refused():
    with pytest.raises(TargetDiffError, match="at most 40 steps"):
        Sampler(steps=41).times(40)
