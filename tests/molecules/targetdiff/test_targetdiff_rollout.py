"""TargetDiff as a function of its noise: contract, choices of what is steered, steering itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from targetdiff_samples import noise_for

import casbo
from casbo.testing import check_rollout
from casbo_molecules.targetdiff import Sampler, TargetDiffError, TargetDiffRollout
from casbo_molecules.targetdiff.rollout import steering
from casbo_molecules.targetdiff.space import symmetric_space

ATOMS, STEPS = 5, 4
KINDS = {
    "steered": {"types": "steered"},
    "frozen": {"types": "frozen"},
    "argmax": {"types": "argmax"},
    "steered, no position noise": {"types": "steered", "eta": 0.0},
    "frozen, start noise only": {"types": "frozen", "eta": 0.0},
}


@pytest.fixture
def make(tiny, pocket):
    def made(microbatch=None, **options):
        sampler = Sampler(steps=STEPS, **options)
        return TargetDiffRollout(tiny, pocket, ATOMS, sampler, microbatch=microbatch)

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_contract(make, kind):
    # without position noise, only a change of a type shows that late noise matters: ask more rows
    count = 16 if kind == "steered, no position noise" else 3
    report = check_rollout(make(**KINDS[kind]), count=count)
    assert report.predicts
    assert report.largest_row_difference == 0.0


def test_shapes(make):
    assert make(types="steered").shape == (STEPS, ATOMS * 16)
    assert make(types="frozen").shape == (STEPS, ATOMS * 3)
    assert make(types="argmax", eta=0.0).shape == (1, ATOMS * 3)


def test_company_and_microbatches_do_not_matter(make):
    """Bit by bit on a CPU by default; to rounding in larger microbatches."""
    one, many = make(), make(microbatch=4)
    noise = noise_for(one, 6)
    together, packed = one(noise).samples, many(noise).samples
    for row in range(6):
        (alone,) = one(noise[row : row + 1]).samples
        np.testing.assert_array_equal(together[row].positions, alone.positions)
        np.testing.assert_allclose(packed[row].positions, alone.positions, atol=1e-4)


def test_samples_are_in_the_frame_of_the_protein(make, pocket):
    rollout = make()
    for sample in rollout(noise_for(rollout, 2)).samples:
        assert np.abs(sample.positions.mean(axis=0) - pocket.center.numpy()).max() < 10.0


def test_frozen_types_are_the_same_for_all_and_follow_their_seed(make):
    """The start types do not depend on the noise, only on the seed."""

    def first_types(rollout, seed):
        return rollout._noise(noise_for(rollout, 2, seed), 0)[1]

    one, other = make(types="frozen", seed=1), make(types="frozen", seed=2)
    assert torch.equal(first_types(one, 0), first_types(one, 5))
    assert torch.equal(first_types(one, 0)[0], first_types(one, 0)[1])
    assert not torch.equal(first_types(one, 0), first_types(other, 0))


def test_type_noise_steers_types(make):
    """Noise that favours one type makes more of it."""
    rollout = make()
    noise = noise_for(rollout, 8)
    pushed = noise.clone()
    pushed[:, :, 3 * ATOMS :].unflatten(-1, (ATOMS, 13))[..., 12] += 8.0  # chlorine

    def chlorines(values):
        return sum(sample.atomic_numbers.count(17) for sample in rollout(values).samples)

    assert chlorines(pushed) > chlorines(noise) + 8


def test_the_prediction_after_the_last_row_is_the_sample(make):
    for kind in KINDS.values():
        rollout = make(**kind)
        last = rollout.shape[0] - 1
        found = rollout(noise_for(rollout, 2), predict=(0, last))
        assert set(found.predictions) == {0, last}
        for sample, prediction in zip(found.samples, found.predictions[last], strict=True):
            np.testing.assert_array_equal(sample.positions, prediction.positions)
            assert sample.atomic_numbers == prediction.atomic_numbers


def test_what_can_be_steered():
    assert steering(Sampler(), ("types", "positions")).types == "steered"
    assert steering(Sampler(), ("positions",)).types == "frozen"
    assert steering(Sampler(types="argmax"), ("positions",)).types == "argmax"
    for wrong in ((), ("types",), ("charges",)):
        with pytest.raises(TargetDiffError, match="positions,types"):
            steering(Sampler(), wrong)


def test_senseless_sizes_are_refused(tiny, pocket):
    with pytest.raises(TargetDiffError, match="at least 1 atom"):
        TargetDiffRollout(tiny, pocket, 0)
    with pytest.raises(TargetDiffError, match="microbatch"):
        TargetDiffRollout(tiny, pocket, 3, microbatch=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_space_ignores_the_numbering_of_atoms(make, kind):
    rollout = make(**KINDS[kind])
    space, (K, D) = rollout.space(), rollout.shape
    layout = space.layout(K, D)
    assert layout.coordinates == 3 + (13 if rollout.steers_types else 0)
    noise = noise_for(rollout, 2)
    order = torch.tensor([2, 0, 4, 1, 3])
    parts = [noise[..., : 3 * ATOMS].unflatten(-1, (ATOMS, 3))]
    if rollout.steers_types:
        parts.append(noise[..., 3 * ATOMS :].unflatten(-1, (ATOMS, 13)))
    renumbered = torch.cat([part[..., order, :].flatten(-2) for part in parts], dim=-1)
    torch.testing.assert_close(space.project(renumbered), space.project(noise))
    assert not torch.allclose(space.project(noise[:1]), space.project(noise[1:]))


def test_the_space_has_as_many_blocks_as_rows_allow():
    for rows in (1, 3, 5, 7, 100):
        layout = symmetric_space((rows, ATOMS * 3), ATOMS, 0).layout(rows, ATOMS * 3)
        assert layout.groups == min(rows, 5)


def leftwards(samples):
    """Mean x of the atoms: the lower the better."""
    return [float(sample.positions[:, 0].mean()) for sample in samples]


def test_it_can_be_steered_and_sampled_from(make):
    """Positions move to the side that is asked for; so do samples from the controls."""
    rollout = make(types="frozen", microbatch=16)
    result = casbo.steer(
        rollout, leftwards, queries=128, population=16, seed=1, direction="minimize"
    )
    plain = leftwards(rollout(noise_for(rollout, 32, seed=9)).samples)
    learned = leftwards(result.sample(32, seed=9))
    assert np.mean(learned) < np.mean(plain) - 2 * np.std(plain) / 32**0.5


def test_heritability_can_be_measured(make):
    rollout = make(types="frozen", microbatch=16)
    found = casbo.heritability(rollout, leftwards, scales=(0.1, 1.0), blocks=1, parents=6)
    assert found.correlation[0, 0] > 0.8
    assert found.failed == 0.0


def test_it_says_what_it_is(make):
    described = make().describe()
    assert described["atoms"] == ATOMS
    assert described["sampler"]["steps"] == STEPS
    assert described["network"]["hidden_dim"] == 8
