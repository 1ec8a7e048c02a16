"""Control spaces: what stays N(0, I), what is learned, and what is refused."""

from __future__ import annotations

import pytest
import torch

from casbo import (
    Controls,
    PerStep,
    Separable,
    Shared,
    Space,
    Subspace,
    TrajectoryBlocks,
    orthonormal,
)
from casbo.covariance import Full
from casbo.errors import CasboError
from casbo.spaces import from_parts, space_of

from .problems import normal, varied

K, D = 4, 6


def spaces() -> dict[str, Space]:
    """One space of each kind for (K, D) = (4, 6)."""
    blocks = [
        (slice(2, 4), orthonormal(normal(2 * D, 3, seed=2))),
        (slice(0, 1), orthonormal(normal(D, 3, seed=3))),
    ]
    return {
        "per_step": PerStep(),
        "shared": Shared(),
        "one_basis": Subspace(orthonormal(normal(D, 2, seed=1)), scale=3.0),
        "basis_per_step": Subspace(orthonormal(normal(K, D, 2, seed=1)), torch.tensor([1.0, 4.0])),
        "blocks": Subspace.blocks(blocks, scale=5.0),
        "separable": Separable(
            orthonormal(normal(K, 2, seed=4)),
            orthonormal(normal(D, 3, seed=5)),
            torch.linspace(0.5, 3, 6),
        ),
    }


NAMES = sorted(spaces())


def moments(space: Space) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the flattened noise, exactly: the map from z is affine."""
    layout = space.layout(K, D)
    covariance = varied("full", layout.groups, layout.coordinates)
    mean = normal(layout.groups, layout.coordinates, seed=5)
    controls = Controls(mean, covariance, space, (K, D))
    basis = torch.eye(K * D).double().reshape(-1, K, D)
    offset = controls.noise_from(torch.zeros(1, K, D).double())[0]
    slopes = (controls.noise_from(basis) - offset).flatten(1)
    return offset, slopes.T @ slopes


@pytest.mark.parametrize("name", NAMES)
def test_unit_controls_with_unit_scale_leave_the_noise_alone(name: str) -> None:
    space = spaces()[name]
    tensors = space.tensors()
    if "scale" in tensors:
        space = from_parts(space.settings(), {**tensors, "scale": torch.tensor(1.0)})
    layout = space.layout(K, D)
    start = Full.identity(layout.groups, layout.coordinates)
    zero = torch.zeros(layout.groups, layout.coordinates).double()
    base = normal(3, K, D)
    torch.testing.assert_close(Controls(zero, start, space, (K, D)).noise_from(base), base)


@pytest.mark.parametrize("name", ["one_basis", "basis_per_step"])
def test_law_of_a_subspace_of_each_step(name: str) -> None:
    space = spaces()[name]
    assert isinstance(space, Subspace)
    covariance, mean = varied("full", K, 2), normal(K, 2, seed=5)
    offset, found = moments(space)
    scale, bases = space.scale.expand(2), space.basis.expand(K, D, 2)
    expected = torch.zeros(K * D, K * D).double()
    for k in range(K):
        inside = bases[k] @ (scale[:, None] * covariance.dense()[k] * scale) @ bases[k].T
        block = inside + torch.eye(D).double() - bases[k] @ bases[k].T
        expected[k * D : (k + 1) * D, k * D : (k + 1) * D] = block
        torch.testing.assert_close(offset[k], bases[k] @ (scale * mean[k]))
    torch.testing.assert_close(found, expected)


def test_law_of_blocks_of_steps() -> None:
    space = spaces()["blocks"]
    assert isinstance(space, TrajectoryBlocks)
    covariance, mean = varied("full", 2, 3), normal(2, 3, seed=5)
    offset, found = moments(space)
    expected = torch.eye(K * D).double()
    for g, ((start, stop), basis) in enumerate(zip(space.steps, space.bases, strict=True)):
        rows = slice(start * D, stop * D)
        expected[rows, rows] += basis @ (25 * covariance.dense()[g]) @ basis.T - basis @ basis.T
        torch.testing.assert_close(offset.flatten()[rows], basis @ (5 * mean[g]))
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(offset[1], torch.zeros(D).double())  # step 1 is in no block
    assert space.layout(K, D).first_steps == (2, 0)


@pytest.mark.parametrize("name", NAMES)
def test_mean_noise_is_the_mean(name: str) -> None:
    space = spaces()[name]
    layout = space.layout(K, D)
    mean = normal(layout.groups, layout.coordinates, seed=5)
    torch.testing.assert_close(space.mean_noise(mean, (K, D)), moments(space)[0])


def test_a_full_basis_is_the_per_step_space() -> None:
    whole = Subspace(torch.eye(D))
    base = normal(2, K, D)
    assert torch.equal(whole.project(base), base)
    torch.testing.assert_close(whole.embed(2 * base, base), PerStep().embed(2 * base, base))


@pytest.mark.parametrize("name", NAMES)
def test_parts_define_the_space(name: str) -> None:
    space = spaces()[name]
    again = from_parts(space.settings(), space.tensors())
    base = normal(2, K, D)
    learned = 1 + again.project(base)
    assert torch.equal(again.embed(learned, base), space.embed(learned, base))
    assert again.describe() == space.describe()
    assert repr(again) == repr(space)


def test_description_tells_bases_apart() -> None:
    one, other = (Subspace(orthonormal(normal(D, 2, seed=seed))) for seed in (1, 2))
    assert one.describe() != other.describe()


def test_names() -> None:
    assert isinstance(space_of("per_step"), PerStep)
    assert isinstance(space_of("shared"), Shared)
    with pytest.raises(CasboError, match="Subspace"):
        space_of("subspace")
    with pytest.raises(CasboError, match="got 'Odd'"):
        from_parts({"kind": "Odd"}, {})


EYE = torch.eye(D)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Subspace(torch.ones(D)), r"got shape \(6,\)"),
        (lambda: Subspace(2 * EYE), "casbo.orthonormal"),
        (lambda: Subspace(torch.full((D, 1), torch.nan)), "casbo.orthonormal"),
        (lambda: Subspace(EYE[:2]), "at most 2 columns"),
        (lambda: Subspace(EYE, scale=0.0), "positive"),
        (lambda: Subspace(EYE, scale=torch.ones(3)).layout(K, D), "broadcasts"),
        (lambda: Subspace(EYE).layout(K, D + 1), r"\(K, D\) = \(4, 7\)"),
        (lambda: Subspace(EYE.expand(3, D, D)).layout(K, D), "shape"),
        (lambda: Subspace.blocks([]), "at least one block"),
        (lambda: Subspace.blocks([(slice(0, 1), EYE), (slice(0, 1), EYE)]), "overlap"),
        (lambda: Subspace.blocks([(slice(0, 1), EYE), (slice(1, 2), EYE[:, :2])]), "one m"),
        (lambda: Subspace.blocks([(slice(1, None), EYE)]), "slice"),
        (lambda: Subspace.blocks([(slice(2, 2), EYE)]), "slice"),
        (lambda: Subspace.blocks([(slice(0, 2), EYE)]).layout(K, D), "12 rows"),
        (lambda: Subspace.blocks([(slice(4, 5), EYE)]).layout(K, D), "stop <= 4"),
    ],
)
def test_what_does_not_fit_is_refused(make: object, message: str) -> None:
    with pytest.raises(CasboError, match=message):
        make()  # type: ignore[operator]


def test_separable_is_the_block_of_its_products() -> None:
    profiles, patterns = orthonormal(normal(K, 2, seed=4)), orthonormal(normal(D, 3, seed=5))
    scale = torch.linspace(0.5, 3, 6)
    products = torch.kron(profiles, patterns)
    dense = Subspace.blocks([(slice(0, K), products)], scale)
    separable = Separable(profiles, patterns, scale)
    base, learned = normal(5, K, D), normal(5, 1, 6, seed=9)
    torch.testing.assert_close(separable.project(base), dense.project(base))
    torch.testing.assert_close(separable.embed(learned, base), dense.embed(learned, base))
    mean = normal(1, 6, seed=8)
    torch.testing.assert_close(separable.mean_noise(mean, (K, D)), dense.mean_noise(mean, (K, D)))
    for name, moment in zip(("mean", "covariance"), moments(separable), strict=True):
        expected = dict(zip(("mean", "covariance"), moments(dense), strict=True))[name]
        torch.testing.assert_close(moment, expected)


def test_windows_are_level_and_apart() -> None:
    profiles = Separable.windows(6, [0, 1, 3, 6])
    torch.testing.assert_close(profiles.T @ profiles, torch.eye(3).double())
    assert torch.equal(
        profiles != 0, torch.tensor([[1, 0, 0], [0, 1, 0], [0, 1, 0]] + [[0, 0, 1]] * 3) != 0
    )
    assert profiles[:, 1].unique().tolist() == [0.0, 2**-0.5]


@pytest.mark.parametrize("edges", [[0], [0, 0, 2], [2, 1], [-1, 2], [0, 7]])
def test_windows_that_are_none_are_refused(edges: list[int]) -> None:
    with pytest.raises(CasboError, match="ascending edges from 0 to 6"):
        Separable.windows(6, edges)


def test_separable_refuses_a_rollout_of_another_shape() -> None:
    space = Separable(torch.eye(K)[:, :1], torch.eye(D)[:, :2])
    with pytest.raises(CasboError, match="profiles of 5 steps"):
        space.layout(K + 1, D)
    with pytest.raises(CasboError, match="shape"):
        Separable(torch.eye(K)[None], torch.eye(D))
