"""EDM as a function of its noise: the paper's chain, its symmetries, what is steered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edm_samples import (
    ARGUMENTS,
    ancestral,
    edgewise,
    noise_for,
    official_folder,
    safe_folder,
    small_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.errors import RolloutError
from casbo.spaces import PerStep
from casbo.testing import check_rollout
from casbo_molecules.edm import EdmRollout, Sampler
from casbo_molecules.edm.dataset import GEOM_DRUGS
from casbo_molecules.edm.schedule import NoiseSchedule
from casbo_molecules.model import ModelError

ATOMS, CHANNELS, T = 7, 6, 50


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def precise():
    return small_model().double()


def rollout_of(model, steps=6, eta=1.0, **options) -> EdmRollout:
    return EdmRollout(model, ATOMS, sampler=Sampler(steps, eta), **options)


@pytest.mark.parametrize("atoms", [ATOMS, 37])  # 37^2 pairs are done in two blocks
@pytest.mark.parametrize("changes", [{}, {"inv_sublayers": 2, "normalization_factor": 3.0}])
def test_the_dense_network_equals_lists_of_edges(atoms, changes) -> None:
    model = small_model(**changes).double()
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(3, atoms, 3 + CHANNELS, generator=generator, dtype=torch.float64)
    together = model.predict_noise(states, 0.3)
    for row, state in enumerate(states):
        torch.testing.assert_close(together[row], edgewise(model, state, 0.3))


def test_gradients_flow_as_without_working_in_place(precise) -> None:
    state = torch.randn(1, 4, 9, generator=torch.Generator().manual_seed(1)).double()
    state.requires_grad_()
    ours = torch.autograd.grad(precise.predict_noise(state, 0.3).square().sum(), state)[0]
    usual = torch.autograd.grad(edgewise(precise, state[0], 0.3).square().sum(), state)[0]
    torch.testing.assert_close(ours, usual)


@pytest.mark.parametrize("charges", [True, False])
def test_all_steps_with_eta_one_are_the_ancestral_chain(charges) -> None:
    dataset = {} if charges else {"dataset": GEOM_DRUGS}
    model = small_model(include_charges=charges, **dataset).double()
    rollout = EdmRollout(model, ATOMS, sampler=Sampler(T, 1.0))
    noise = noise_for(rollout, 2)
    positions, numbers = rollout.atoms_of(noise)
    events = torch.stack(list(rollout.rows.filled(noise)), dim=1)
    for row in range(2):
        expected, elements = ancestral(model, events[row])
        np.testing.assert_allclose(positions[row], expected, rtol=1e-6, atol=1e-6)
        assert numbers[row].tolist() == [model.dataset.numbers[e] for e in elements]


@given(
    st.lists(st.floats(0.05, 3.0), min_size=2, max_size=12),
    st.just(0.0) | st.floats(0.01, 1),
    st.data(),
)
def test_any_step_leaves_the_marginal_as_it_is(rises, eta, data) -> None:
    """With the exact noise as prediction: z_s = alpha_s x + sigma_s noise of unit variance."""
    schedule = NoiseSchedule(np.cumsum(rises) - 4.0)
    time = data.draw(st.integers(1, schedule.steps))
    following = data.draw(st.integers(0, time - 1))
    step = schedule.reverse_step(time, following, eta)
    assert step.keep * step.alpha == pytest.approx(schedule.alpha(following))
    kept = step.keep * step.sigma + step.drift
    assert kept**2 + step.up**2 == pytest.approx(schedule.sigma(following) ** 2)
    assert step.up > 0 or eta == 0
    full = schedule.reverse_step(time, following, 1.0).up
    assert step.up == pytest.approx(eta * full)


def test_a_perfect_network_arrives_at_its_molecule_in_any_number_of_steps(precise) -> None:
    schedule, clean = precise.noise_schedule(), 1.7
    for steps in (1, 5, T):
        for eta in (0.0, 0.5, 1.0):
            state = 0.3
            for step in Sampler(steps, eta).schedule(schedule):
                predicted = (state - step.alpha * clean) / step.sigma
                state = step.keep * state + step.drift * predicted
            assert state == pytest.approx(schedule.alpha(0) * clean, abs=0.02)


@given(st.integers(1, 60), st.integers(1, 60))
def test_times_fall_from_the_first_to_zero(steps, total) -> None:
    if steps > total:
        with pytest.raises(ModelError, match=f"at most {total} steps"):
            Sampler(steps).times(total)
        return
    times = Sampler(steps).times(total)
    assert (times[0], times[-1], len(times)) == (total, 0, steps + 1)
    gaps = -np.diff(times)
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("steer", "eta", "shape"),
    [
        (("positions", "types"), 1.0, (8, ATOMS * (3 + CHANNELS))),
        (("positions",), 1.0, (8, ATOMS * 3)),
        (("types",), 1.0, (7, ATOMS * CHANNELS)),
        (("positions", "types"), 0.0, (2, ATOMS * (3 + CHANNELS))),
        (("types",), 0.0, (1, ATOMS * CHANNELS)),
        (("positions",), 0.5, (8, ATOMS * 3)),
    ],
)
def test_it_keeps_the_contract_and_no_row_is_dead(model, steer, eta, shape) -> None:
    rollout = rollout_of(model, 6, eta, steer=steer)
    assert rollout.shape == shape
    report = check_rollout(rollout)
    assert report.predicts
    assert report.largest_row_difference == 0


def test_molecules_do_not_depend_on_how_many_are_made(model) -> None:
    rollout = rollout_of(model)
    noise = noise_for(rollout, 5)
    positions, numbers = rollout.atoms_of(noise)
    for row in range(5):
        alone, alone_numbers = rollout.atoms_of(noise[row : row + 1])
        np.testing.assert_array_equal(alone[0], positions[row])
        np.testing.assert_array_equal(alone_numbers[0], numbers[row])


@pytest.mark.parametrize("microbatch", [2, 3, 8])
def test_molecules_do_not_depend_on_the_microbatch(model, microbatch) -> None:
    alone, together = rollout_of(model), rollout_of(model, microbatch=microbatch)
    noise = noise_for(alone, 7)
    positions, numbers = alone.atoms_of(noise)
    others, other_numbers = together.atoms_of(noise)
    np.testing.assert_allclose(others, positions, atol=1e-5 * np.abs(positions).max())
    np.testing.assert_array_equal(other_numbers, numbers)


@pytest.mark.parametrize("steer", ["positions", "types"])
def test_what_is_not_steered_is_the_same_for_every_sample(model, steer) -> None:
    rollout = rollout_of(model, steer=(steer,), frozen_seed=4)
    noise = noise_for(rollout, 3)
    hidden = slice(3, None) if steer == "positions" else slice(0, 3)
    shown = slice(0, 3) if steer == "positions" else slice(3, None)
    events = list(rollout.rows.filled(noise))
    other = list(rollout_of(model, steer=(steer,), frozen_seed=5).rows.filled(noise))
    assert len(events) == 6 + 2
    for row, event in zip(range(rollout.shape[0]), events, strict=False):
        fixed = event[..., hidden]
        assert torch.equal(fixed, fixed[:1].expand_as(fixed))
        assert fixed.std() > 0.5
        assert not torch.equal(fixed, other[row][..., hidden])
        assert torch.equal(event[..., shown].flatten(1), noise[:, row])


def test_fixed_noise_put_into_the_argument_gives_the_same_molecules(model) -> None:
    part = rollout_of(model, steer=("positions",), frozen_seed=9)
    noise = noise_for(part, 2)
    whole = rollout_of(model)
    blocks = [
        torch.cat([values[..., :3].flatten(1), values[..., 3:].flatten(1)], dim=1)
        for values in part.rows.filled(noise)
    ]
    for expected, found in zip(
        part.atoms_of(noise), whole.atoms_of(torch.stack(blocks, dim=1)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_symmetries(precise) -> None:
    rollout = rollout_of(precise)
    noise = noise_for(rollout, 2)
    positions, numbers = rollout.atoms_of(noise)
    xyz = noise[..., : 3 * ATOMS].unflatten(-1, (ATOMS, 3))
    types = noise[..., 3 * ATOMS :].unflatten(-1, (ATOMS, CHANNELS))

    def changed(xyz, types):
        return rollout.atoms_of(torch.cat([xyz.flatten(-2), types.flatten(-2)], dim=-1))

    turn = torch.linalg.qr(noise[0, :3, :3]).Q
    turned, same = changed(xyz @ turn, types)
    np.testing.assert_allclose(turned, positions @ turn.numpy(), atol=1e-8)
    np.testing.assert_array_equal(same, numbers)
    order = torch.randperm(ATOMS, generator=torch.Generator().manual_seed(3))
    moved, renamed = changed(xyz[:, :, order], types[:, :, order])
    np.testing.assert_allclose(moved, positions[:, order.numpy()], atol=1e-8)
    np.testing.assert_array_equal(renamed, numbers[:, order.numpy()])
    shifted, _ = changed(xyz + 3.0, types)  # the projected direction does nothing
    np.testing.assert_allclose(shifted, positions, atol=1e-8)
    np.testing.assert_allclose(positions.mean(1), 0, atol=1e-8)


def test_the_last_row_moves_positions_only(precise) -> None:
    rollout = rollout_of(precise)
    noise = noise_for(rollout, 1)
    start, _ = rollout.atoms_of(noise)
    for column, moves in ((0, True), (3 * ATOMS, False)):
        changed = noise.clone()
        changed[0, -1, column] += 1
        assert (np.abs(rollout.atoms_of(changed)[0] - start).max() > 1e-3) == moves


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_predictions_come_after_their_row(model, eta) -> None:
    rollout = rollout_of(model, eta=eta)
    noise = noise_for(rollout, 2)
    K = rollout.shape[0]
    found = rollout(noise, predict=range(K))
    assert set(found.predictions) == set(range(K))
    for row in range(K - 1):
        later = noise.clone()
        later[:, row + 1 :] += 1.0
        again = rollout(later, predict=(row,)).predictions[row]
        for one, other in zip(found.predictions[row], again, strict=True):
            np.testing.assert_array_equal(one.positions, other.positions)
    for sample, last in zip(found.samples, found.predictions[K - 1], strict=True):
        np.testing.assert_array_equal(sample.positions, last.positions)
    if eta:  # before the noise of the final positions
        silent = noise.clone()
        silent[:, -1] = 0.0
        for sample, late in zip(rollout(silent).samples, found.predictions[K - 2], strict=True):
            assert sample.atomic_numbers == late.atomic_numbers
            np.testing.assert_array_equal(sample.positions, late.positions)


def test_what_cannot_be_asked_for(model, tmp_path) -> None:
    for atoms in (2, 30):
        with pytest.raises(ModelError, match=f"between 3 and 29 atoms, hydrogens.*got {atoms}"):
            EdmRollout(model, atoms)
    for options, message in [
        ({"steer": ("charges",)}, "expected steer to be"),
        ({"steer": ()}, "expected steer to be"),
        ({"frozen_seed": -1}, "frozen_seed of at least 0"),
        ({"microbatch": 0}, "microbatch >= 1"),
    ]:
        with pytest.raises(ModelError, match=message):
            EdmRollout(model, ATOMS, **options)
    for steps, eta in ((0, 1.0), (3, -0.1), (3, 1.1), (3, float("nan"))):
        with pytest.raises(ModelError, match="steps >= 1 and eta from 0 to 1"):
            Sampler(steps, eta)
    with pytest.raises(ModelError, match="at most 50 steps"):
        rollout_of(model, steps=51)
    rollout = rollout_of(model)
    with pytest.raises(RolloutError, match=r"shape \(N, 8, 63\)"):
        rollout(torch.zeros(1, 2, 63))
    with pytest.raises(RolloutError, match="steps from 0 to 7"):
        rollout(noise_for(rollout, 1), predict=(8,))
    folder = official_folder(tmp_path, model, ARGUMENTS)
    for sizes in ({}, {"atoms": 7, "size_seed": 0}):
        with pytest.raises(ModelError, match=r"either atoms .* or size_seed"):
            EdmRollout.from_checkpoint(folder, **sizes)


def test_from_a_folder(model, tmp_path) -> None:
    folder = official_folder(tmp_path / "official", model, ARGUMENTS)
    rollout = EdmRollout.from_checkpoint(folder, atoms=ATOMS, steps=6, steer=("positions",))
    assert rollout.shape == (8, 3 * ATOMS)
    assert rollout.describe()["weights"] == model.digest()
    assert EdmRollout.from_checkpoint(folder, atoms=ATOMS).sampler == Sampler(T, 1.0)
    safe = safe_folder(tmp_path / "safe", model, ARGUMENTS)
    drawn = {EdmRollout.from_checkpoint(safe, size_seed=seed, steps=2).atoms for seed in range(9)}
    assert len(drawn) > 3
    assert EdmRollout.from_checkpoint(safe, size_seed=3).atoms in drawn


@settings(max_examples=10)
@given(st.permutations(range(ATOMS)))
def test_the_space_ignores_the_numbering_of_atoms(order) -> None:
    rollout = rollout_of(small_model(), steps=T)
    space, noise = rollout.space(), noise_for(rollout, 2)
    xyz = noise[..., : 3 * ATOMS].unflatten(-1, (ATOMS, 3))[..., order, :].flatten(-2)
    types = noise[..., 3 * ATOMS :].unflatten(-1, (ATOMS, CHANNELS))[..., order, :].flatten(-2)
    torch.testing.assert_close(
        space.project(torch.cat([xyz, types], dim=-1)), space.project(noise)
    )


def test_the_space_is_of_one_channel_and_window_each() -> None:
    model = small_model(diffusion_noise_precision=1e-5)
    rollout = rollout_of(model, steps=T)
    space = rollout.space()
    layout = space.layout(*rollout.shape)
    assert (layout.groups, layout.coordinates) == (1, 2 * CHANNELS)
    learned = torch.zeros(1, 1, layout.coordinates, dtype=torch.float64)
    learned[0, 0, CHANNELS + 2] = 1.0  # nitrogen in the second window
    moved = space.embed(learned, torch.zeros(1, *rollout.shape, dtype=torch.float64))[0]
    places = moved.abs().sum(0).nonzero().flatten().tolist()
    assert places == [3 * ATOMS + CHANNELS * atom + 2 for atom in range(ATOMS)]
    schedule = model.noise_schedule()
    times = [T - row for row in range(T + 1)]
    levels = [4 * schedule.sigma(time) / schedule.alpha(time) for time in times]
    inside = [0.12 <= level < 0.6 for level in levels] + [False]
    assert (moved.abs().sum(1) > 0).tolist() == inside
    assert moved.norm() == pytest.approx(3.0)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [1, 2, T])
def test_there_is_a_space_for_every_sampler(model, steps, eta) -> None:
    for steer in (("positions", "types"), ("types",)):
        rollout = rollout_of(model, steps=steps, eta=eta, steer=steer)
        assert rollout.space().layout(*rollout.shape).coordinates >= CHANNELS
    assert isinstance(rollout_of(model, steps, eta, steer=("positions",)).space(), PerStep)


def test_nothing_but_numbers_reaches_the_positions(model) -> None:
    """Noise so large that the network overflows: no crash, molecules with a reason."""
    rollout = rollout_of(model)
    for sample in rollout(1e30 * noise_for(rollout, 2)).samples:
        assert sample.mol is None
        assert sample.problem
