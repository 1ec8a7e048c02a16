"""Low spatial frequencies: scipy's cosine transform and the packing of Flux are the oracles."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from diffusers import FluxPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo_images.errors import ImageError
from casbo_images.rollout import DiffusersRollout
from casbo_images.spaces import (
    LARGEST_SPACE,
    cosine_basis,
    default_coefficients,
    low_frequencies,
    window_edges,
)

from . import tiny_pipelines as tiny

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 7))


@st.composite
def bases(draw: st.DrawFn) -> tuple[tuple[int, int, int], int]:
    shape = draw(SHAPES)
    return shape, draw(st.integers(1, shape[1] * shape[2]))


def frequencies(column: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """scipy's transform of one column over space, with the shape of a latent."""
    return scipy.fft.dctn(column.reshape(shape).numpy(), axes=(1, 2), norm="ortho")


@given(bases())
@settings(max_examples=40)
def test_the_basis_is_orthonormal(case: tuple[tuple[int, int, int], int]) -> None:
    shape, q = case
    basis = cosine_basis(shape, q)
    assert basis.shape == (np.prod(shape), shape[0] * q)
    identity = torch.eye(shape[0] * q, dtype=torch.float64)
    torch.testing.assert_close(basis.T @ basis, identity, rtol=0, atol=1e-12)


@given(bases())
@settings(max_examples=40)
def test_each_column_is_one_coefficient_of_scipys_transform(
    case: tuple[tuple[int, int, int], int],
) -> None:
    """And the q of every channel are its q lowest frequencies."""
    shape, q = case
    basis = cosine_basis(shape, q)
    chosen = []
    for number, column in enumerate(basis.T):
        coefficients = frequencies(column, shape)
        place = np.unravel_index(np.abs(coefficients).argmax(), shape)
        assert coefficients[place] == pytest.approx(1.0)
        assert np.abs(coefficients).sum() == pytest.approx(1.0, abs=1e-9)
        assert place[0] == number // q
        chosen.append(place)
    assert len(set(chosen)) == len(chosen)
    for channel in range(shape[0]):
        pairs = [(u, v) for c, u, v in chosen if c == channel]
        lengths = [(u / shape[1]) ** 2 + (v / shape[2]) ** 2 for u, v in pairs]
        assert lengths == sorted(lengths)
        grid = [(u, v) for u in range(shape[1]) for v in range(shape[2])]
        left_out = [
            (u / shape[1]) ** 2 + (v / shape[2]) ** 2 for u, v in grid if (u, v) not in pairs
        ]
        assert min(left_out, default=np.inf) >= max(lengths)


def test_all_frequencies_are_scipys_transform_of_unit_impulses() -> None:
    shape = (1, 4, 6)
    basis = cosine_basis(shape, 24)
    impulses = np.eye(24).reshape(24, *shape[1:])
    transformed = scipy.fft.dctn(impulses, axes=(1, 2), norm="ortho").reshape(24, 24)
    matches = np.abs(basis.numpy().T @ np.linalg.pinv(transformed.T))
    np.testing.assert_allclose(np.sort(matches, axis=1)[:, -1], 1, atol=1e-9)
    np.testing.assert_allclose(matches.sum(1), 1, atol=1e-9)


def test_the_first_coefficient_is_the_mean() -> None:
    basis = cosine_basis((2, 3, 5), 1)
    expected = torch.kron(torch.eye(2), torch.full((15, 1), 15**-0.5)).double()
    torch.testing.assert_close(basis, expected)


def test_what_is_learned_is_smooth() -> None:
    """Low frequencies change less from place to place than noise does."""
    basis = cosine_basis((4, 16, 16), 10)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(200, basis.shape[1], generator=generator, dtype=torch.float64)
    smooth = (draws @ basis.T).reshape(200, 4, 16, 16)
    assert float(smooth.diff(dim=-1).var() / smooth.var()) < 0.2  # white noise has 2


@pytest.mark.parametrize("coefficients", [0, -1, 65])
def test_numbers_that_a_channel_has_not(coefficients: int) -> None:
    with pytest.raises(ImageError, match=f"1 to 64 cosine coefficients.*got {coefficients}"):
        cosine_basis((4, 8, 8), coefficients)


@pytest.fixture(scope="module")
def rollout() -> DiffusersRollout:
    return DiffusersRollout(tiny.stable_diffusion(), "a", steps=2, height=16, width=24)


@pytest.fixture(scope="module")
def packed() -> DiffusersRollout:
    inputs = {"max_sequence_length": 8}
    return DiffusersRollout(tiny.flux(), "a", steps=2, height=16, width=24, pipe_kwargs=inputs)


def test_the_space_of_a_latent(rollout: DiffusersRollout) -> None:
    assert rollout.latent_shape == (4, 8, 12)  # high and wide apart
    space = low_frequencies(rollout, 3, scale=0.5)
    torch.testing.assert_close(space.patterns, cosine_basis((4, 8, 12), 3))
    assert float(space.scale) == 0.5
    windows = len(window_edges(rollout.shape[0], start=True)) - 1
    layout = space.layout(*rollout.shape)
    assert (layout.groups, layout.coordinates) == (1, windows * 12)


def test_packed_latents_have_the_same_space_packed(packed: DiffusersRollout) -> None:
    """Packing is a permutation: the basis of the grid, packed as Flux packs, is the basis."""
    channels, height, width = packed.places.shape
    assert packed.latent_shape == (height * width // 4, 4 * channels)
    grids = cosine_basis((channels, height, width), 3).T.reshape(-1, channels, height, width)
    expected = FluxPipeline._pack_latents(grids, *grids.shape).flatten(1).T
    space = low_frequencies(packed, 3)
    torch.testing.assert_close(space.patterns, expected)
    order = packed.places.flatten()
    assert sorted(order.tolist()) == list(range(packed.shape[1]))
    torch.testing.assert_close(space.patterns[order], cosine_basis((channels, height, width), 3))


@pytest.mark.parametrize("name", ["rollout", "packed"])
def test_the_default_space_fits(name: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(name)
    windows = len(window_edges(made.shape[0], start=True)) - 1
    channels, height, width = made.places.shape
    q = default_coefficients(made.places.shape, windows=windows)
    assert q <= height * width
    layout = made.space().layout(*made.shape)
    assert (layout.groups, layout.coordinates) == (1, windows * channels * q)
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(2, *made.shape, generator=generator, dtype=torch.float64)
    noise = made.space().embed(made.space().project(base), base)
    assert noise.shape == base.shape
    assert len(made(noise).samples) == 2


@given(st.integers(1, 60), st.booleans())
def test_windows_cover_every_row_once(steps: int, start: bool) -> None:
    """The start noise has its own, all steps share another."""
    edges = window_edges(steps, start=start)
    expected = [0, 1, steps] if start and steps > 1 else [0, steps]
    assert edges == expected


def test_windows_follow_the_rows_that_are_steered() -> None:
    """Without the start noise there is no window for it; edges may be chosen."""
    pipe, options = tiny.stable_diffusion(), {"steps": 4, "height": 16, "width": 16}
    made = {
        steered: DiffusersRollout(pipe, "a", **options, steered=steered)
        for steered in ("all", "steps", "start")
    }
    profiles = {name: low_frequencies(rollout, 2).profiles for name, rollout in made.items()}
    assert torch.equal(profiles["start"], torch.ones(1, 1, dtype=torch.float64))
    assert torch.equal(profiles["all"][0], torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert torch.equal(profiles["all"][1:, 1:], profiles["steps"])
    chosen = low_frequencies(made["steps"], 2, edges=[0, 4]).profiles
    torch.testing.assert_close(chosen, torch.full((4, 1), 0.5, dtype=torch.float64))
    with pytest.raises(CasboError, match="ascending edges from 0 to 4"):
        low_frequencies(made["steps"], 2, edges=[0, 5])


def test_scales_and_numbers_are_checked(rollout: DiffusersRollout) -> None:
    with pytest.raises(CasboError, match="positive, finite exploration scale"):
        low_frequencies(rollout, 3, scale=0.0)
    with pytest.raises(ImageError, match="1 to 96"):
        low_frequencies(rollout, 97)


@given(st.tuples(st.integers(1, 64), st.integers(1, 128), st.integers(1, 128)), st.integers(1, 4))
def test_the_default_space_is_never_empty_and_small(
    shape: tuple[int, int, int], windows: int
) -> None:
    q = default_coefficients(shape, windows=windows)
    assert 1 <= q <= shape[1] * shape[2]
    assert q == 1 or windows * shape[0] * q <= LARGEST_SPACE
