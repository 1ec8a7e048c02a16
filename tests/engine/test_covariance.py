"""Covariance types: laws in float64, and each type against the dense one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from casbo.covariance import (
    COVARIANCES,
    SMALLEST_FACTOR,
    Covariance,
    Diagonal,
    Full,
    Isotropic,
    LowRank,
    Statistics,
    full,
    kl_to_standard,
    orthonormal,
    span,
)
from casbo.errors import CasboError

from .problems import normal, statistics, varied

NAMES = sorted(COVARIANCES)
FORMS = ("precision", "covariance")
#: Coordinates of a `Full` whose root is not the symmetric one.
MANY = full.LARGEST_SYMMETRIC + 8


def large(pooling: float = 0.0, dtype: torch.dtype = torch.float64) -> Full:
    """A `Full` of many coordinates with both gathered and recent updates."""
    covariance = Full.identity(2, MANY, dtype=dtype)
    for step in range(5):
        told = cast(statistics(5, 2, MANY, seed=step, pooling=pooling), dtype)
        covariance = covariance.updated(told, FORMS[step % 2])  # type: ignore[arg-type]
    return covariance


def cast(told: Statistics, dtype: torch.dtype) -> Statistics:
    """The same statistics as numbers of another type."""
    tensors = (t.to(dtype) for t in (told.vectors, told.coefficients, told.shift))
    return Statistics(*tensors, told.pooling)


def updated_densely(dense: Tensor, root: Tensor, told: Statistics, form: str) -> Tensor:
    """R A R^T or R A^{-1} R^T as the equations have it, eigenvalues of A clipped."""
    z, c = told.vectors, told.coefficients
    moment = torch.einsum("jg,jgi,jgk->gik", c, z, z)
    back = torch.linalg.inv(root)
    pooled = back @ (root @ moment @ root.mT).mean(0) @ back.mT
    moment = (1 - told.pooling) * moment + told.pooling * pooled
    unit = torch.eye(dense.shape[-1]).to(dense)
    eigenvalues, vectors = torch.linalg.eigh(moment + (1 + told.shift)[:, None, None] * unit)
    eigenvalues = eigenvalues.clamp_min(SMALLEST_FACTOR)
    factors = 1 / eigenvalues if form == "precision" else eigenvalues
    return root @ (vectors * factors[:, None, :]) @ vectors.mT @ root.mT


def root_of(covariance: Covariance) -> Tensor:
    """R with shape (G, m, m): what the axes are turned into."""
    groups, m = covariance.shape
    axes = torch.eye(m).to(covariance.variances())[:, None, :].expand(m, groups, m)
    return covariance.color(axes).permute(1, 2, 0)


@pytest.mark.parametrize(
    "covariance", [*(varied(name, 2, 5) for name in NAMES), large(), large(0.4)]
)
def test_laws(covariance: Covariance) -> None:
    (groups, m), dense = covariance.shape, covariance.dense()
    x, v = normal(7, groups, m, seed=3), normal(7, groups, m, seed=4)
    root = root_of(covariance)
    torch.testing.assert_close(root @ root.mT, dense)
    torch.testing.assert_close(covariance.whiten(covariance.color(x)), x)
    torch.testing.assert_close(covariance.apply(x), torch.einsum("gij,ngj->ngi", dense, x))
    slopes = (covariance.gradient(v) * covariance.color(x)).sum(-1)
    torch.testing.assert_close(slopes, (v * x).sum(-1))
    torch.testing.assert_close(covariance.logdet(), torch.logdet(dense))
    torch.testing.assert_close(covariance.variances(), dense.diagonal(dim1=1, dim2=2))
    expected = torch.linalg.eigvalsh(dense)
    torch.testing.assert_close(covariance.spectrum().expand(expected.shape), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_root_is_symmetric(name: str) -> None:
    covariance, unit = varied(name, 2, 4), torch.eye(4).double()
    root = covariance.color(unit[:, None, :].expand(4, 2, 4)).transpose(0, 1)
    torch.testing.assert_close(root, root.mT)
    assert bool((torch.linalg.eigvalsh(root) > 0).all())


@pytest.mark.parametrize(
    "covariance", [*(varied(name, 2, 5) for name in NAMES), large(), large(0.4)]
)
def test_scaling_and_pull(covariance: Covariance) -> None:
    (groups, m), dense = covariance.shape, covariance.dense()
    x, unit = normal(groups, m, seed=4), torch.eye(m).double()
    factor = torch.tensor([0.5, 3.0]).double()
    scaled = covariance.scaled(factor).dense()
    torch.testing.assert_close(scaled, dense * factor[:, None, None].square())
    torch.testing.assert_close(covariance.scaled(0.3).dense(), dense * 0.3**2)
    pulled = torch.linalg.inv(0.7 * torch.linalg.inv(dense) + 0.3 * unit)  # Eq. (8)
    torch.testing.assert_close(covariance.pulled(0.7).dense(), pulled)
    shrunk = 0.7 * torch.linalg.solve(0.7 * unit + 0.3 * dense, x[..., None])[..., 0]
    torch.testing.assert_close(covariance.shrink(x, 0.7), shrunk)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pooling", [0.0, 0.4])
@pytest.mark.parametrize("m", [4, MANY])
def test_full_update_is_the_formula(form: str, pooling: float, m: int) -> None:
    covariance = Full.identity(3, m)
    for step in range(6):  # enough to multiply recent updates into the root
        told = statistics(9, 3, m, seed=5 + 10 * step, pooling=pooling)
        expected = updated_densely(covariance.dense(), root_of(covariance), told, form)
        covariance = covariance.updated(told, form)
        torch.testing.assert_close(covariance.dense(), expected)
        torch.testing.assert_close(covariance.logdet(), torch.logdet(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_full_keeps_its_inverse_while_the_condition_grows(dtype: torch.dtype) -> None:
    """One direction widens and another narrows until Sigma's condition is 10^8."""
    covariance, axes = Full.identity(1, MANY, dtype=dtype), torch.eye(MANY, dtype=dtype)
    weights = torch.tensor([[0.2], [-0.2]], dtype=dtype)
    for step in range(200):
        noise = normal(2, 1, MANY, seed=step).to(dtype)
        x = covariance.whiten(axes[:2, None] + 1e-3 * noise)
        x = x / x.norm(dim=-1, keepdim=True)
        growing = float(covariance.variances().max() / covariance.variances().min()) < 1e8
        told = Statistics(x, weights if growing else 0 * weights, torch.zeros(1, dtype=dtype))
        covariance = covariance.updated(told, "covariance")
    assert float(covariance.variances().max() / covariance.variances().min()) > 1e7
    x = normal(5, 1, MANY).to(dtype)
    back = covariance.whiten(covariance.color(x))
    assert float((back - x).norm() / x.norm()) < 2 * torch.finfo(dtype).eps ** 0.25


def test_a_worn_inverse_is_made_anew() -> None:
    covariance = large()
    worn = dataclasses.replace(covariance, inverse=covariance.inverse * 1.1)
    told = statistics(MANY, 2, MANY)
    expected = covariance.updated(told, "covariance").updated(told, "covariance")
    found = worn.updated(told, "covariance").updated(told, "covariance")
    x = normal(3, 2, MANY)
    torch.testing.assert_close(found.dense(), expected.dense())
    torch.testing.assert_close(found.whiten(x), expected.whiten(x))


@pytest.mark.parametrize("m", [5, MANY])
def test_full_from_its_spectrum(m: int) -> None:
    eigenvalues, vectors = torch.linalg.eigh(torch.stack([_spread(m, seed) for seed in (1, 2)]))
    covariance = Full.from_spectrum(eigenvalues, vectors)
    torch.testing.assert_close(covariance.spectrum(), eigenvalues)
    again = Full.identity(2, m).with_tensors({"eigenvalues": eigenvalues, "vectors": vectors})
    assert torch.equal(again.dense(), covariance.dense())  # as files of earlier versions hold it


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pooling", [0.0, 0.4])
def test_diagonal_equals_full_fed_diagonal_data(form: str, pooling: float) -> None:
    axes = torch.zeros(12, 2, 4).double()
    rows = torch.arange(12)
    axes[rows, :, rows % 4] = normal(12, 2, seed=6)
    weights = normal(12, 2, seed=7) / 12
    told = Statistics(axes, weights, -weights.sum(0), pooling)
    full, diagonal = Full.identity(2, 4), Diagonal.identity(2, 4)
    for _ in range(3):
        full, diagonal = full.updated(told, form), diagonal.updated(told, form)
    torch.testing.assert_close(full.dense(), diagonal.dense())


@pytest.mark.parametrize("form", FORMS)
def test_isotropic_equals_full_fed_isotropic_data(form: str) -> None:
    axes = 1.7 * torch.eye(4).double()[:, None, :].expand(4, 2, 4)
    told = Statistics(axes, torch.full((4, 2), 0.1).double(), torch.full((2,), -0.2).double())
    full = Full.identity(2, 4).updated(told, form)
    torch.testing.assert_close(full.dense(), Isotropic.identity(2, 4).updated(told, form).dense())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("m", "rank"), [(30, 30), (30, 12), (5, 5)])
def test_low_rank_equals_full_while_it_is_exact(form: str, m: int, rank: int) -> None:
    full, low = Full.identity(2, m), LowRank.identity(2, m, rank=rank)
    x = normal(3, 2, m, seed=8)
    for step in range(4 if rank == m else 3):  # 3 x 4 draws fit in rank 12
        told = statistics(4, 2, m, seed=20 + step)
        full, low = full.updated(told, form).pulled(0.9), low.updated(told, form).pulled(0.9)
        torch.testing.assert_close(low.dense(), full.dense())
        torch.testing.assert_close(low.color(x), full.color(x))
    torch.testing.assert_close(low.logdet(), full.logdet())


def test_low_rank_keeps_the_directions_that_differ_most() -> None:
    m, rank = 40, 3
    axes = torch.eye(m).double()[:6, None, :]
    weights = torch.tensor([2.0, 0.1, -0.8, 0.2, 5.0, 0.05]).double()[:, None]
    told = Statistics(axes, weights, torch.zeros(1).double())
    low = LowRank.identity(1, m, rank=rank).updated(told, "covariance")
    kept = low.dense()[0].diagonal()[:6]
    torch.testing.assert_close(kept, torch.tensor([3.0, 1.0, 0.2, 1.0, 6.0, 1.0]).double())


def columns(case: str, basis: Tensor, vectors: Tensor) -> Tensor:
    """Whitened vectors (J, G, m) that are hard on the Gram matrix of [basis, vectors]."""
    hard = vectors.clone()
    if case == "equal":
        hard[1] = hard[0]
    elif case == "zero":
        hard[1] = 0
    elif case == "inside":  # of what is spanned already, as a path of mean steps is at first
        hard[-1] = hard[0] - 2 * hard[1] + (basis.sum(-1) if basis.shape[-1] else 0)
    elif case == "nearly inside":
        hard[-1] = hard[0] + 1e-4 * hard[-1]
    elif case == "of very different lengths":
        hard *= torch.tensor([1e-6, 1.0, 1e3, 1e-3, 1.0]).to(hard)[:, None, None]
    return hard


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "case",
    ["plain", "equal", "zero", "inside", "nearly inside", "of very different lengths"],
)
def test_low_rank_in_many_coordinates_is_the_formula(
    form: str, dtype: torch.dtype, case: str
) -> None:
    """Where the basis of a span is implied by its Gram matrix, against dense algebra."""
    m = span.TALL * 20
    low = LowRank.identity(2, m, rank=15, dtype=dtype)
    for step in range(3):
        told = cast(statistics(5, 2, m, seed=30 + step), dtype)
        z = columns(case, low.basis, told.vectors)
        c = 30 * told.coefficients / z.square().sum(-1).clamp_min(1e-12)
        told = Statistics(z, c, told.shift)
        assert span.Span.of(low.basis, z).implied
        wide = cast(told, torch.float64)
        dense, root = low.dense().double(), root_of(low).double()
        low = low.updated(told, form)
        expected = updated_densely(dense, root, wide, form)
        close = {"rtol": 1e-4, "atol": 3e-5} if dtype == torch.float32 else {}
        torch.testing.assert_close(low.dense().double(), expected, **close)
    gram = low.basis.mT @ low.basis
    weight = (low.ratios - 1).abs().sqrt()
    off = (gram - torch.eye(gram.shape[-1]).to(gram)) * weight[:, None] * weight[:, :, None]
    assert float(off.abs().max()) < max(100 * torch.finfo(dtype).eps, 100 * span.SHIFT)


@pytest.mark.parametrize("name", ["full", "low_rank"])
@pytest.mark.parametrize("form", FORMS)
def test_float32_is_float64_to_rounding_over_a_hundred_updates(name: str, form: str) -> None:
    m = span.TALL * 25
    single, double = (
        COVARIANCES[name].identity(1, m, dtype=dtype) for dtype in (torch.float32, torch.float64)
    )
    x = normal(3, 1, m, seed=1)
    for step in range(100):
        told = statistics(8, 1, m, seed=100 + step)
        told = Statistics(told.vectors, told.coefficients / 16, told.shift / 16)
        single = single.updated(cast(told, torch.float32), form)
        double = double.updated(told, form)
    torch.testing.assert_close(
        single.color(x.float()).double(), double.color(x), atol=2e-3, rtol=0
    )
    torch.testing.assert_close(single.logdet().double(), double.logdet(), atol=1e-2, rtol=1e-3)


def test_low_rank_holds_nothing_of_size_m_by_m() -> None:
    m = 200_000  # m x m would be 298 GiB
    low = LowRank.identity(1, m, rank=4, dtype=torch.float32)
    z = normal(3, 1, m).float()
    told = Statistics(z, torch.ones(3, 1) / m, torch.zeros(1))
    low = low.updated(told, "covariance").updated(told, "precision").pulled(0.9)
    assert low.color(z).shape == z.shape
    assert bool(low.logdet().isfinite().all())


@pytest.mark.parametrize("name", [*NAMES, "full of many", "full of many, pooled"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight", [-50.0, 50.0])
def test_positive_definite_whatever_the_weights_are(
    name: str, form: str, dtype: torch.dtype, weight: float
) -> None:
    m, pooling = (MANY if "many" in name else 6), (0.5 if "pooled" in name else 0.0)
    covariance: Covariance = COVARIANCES[name.split(maxsplit=1)[0]].identity(2, m, dtype=dtype)
    for step in range(30):
        z = normal(8, 2, m, seed=step).to(dtype)
        weights = torch.full((8, 2), weight, dtype=dtype)
        told = Statistics(z, weights, torch.full((2,), -9.0, dtype=dtype), pooling)
        covariance = covariance.updated(told, form)
    assert bool((covariance.spectrum() > 0).all())
    assert bool(covariance.color(z).isfinite().all())
    assert bool(covariance.whiten(z).isfinite().all())


@pytest.mark.parametrize("name", [*NAMES, "full of many"])
@pytest.mark.parametrize("form", FORMS)
def test_vectors_may_come_in_two_parts(name: str, form: str) -> None:
    m = MANY if "many" in name else 6
    covariance: Covariance = COVARIANCES[name.split(maxsplit=1)[0]].identity(2, m)
    told = statistics(9, 2, m, seed=12)
    parts = dataclasses.replace(told, vectors=told.vectors[:6], further=told.vectors[6:])
    torch.testing.assert_close(
        covariance.updated(parts, form).dense(), covariance.updated(told, form).dense()
    )


def test_rotation_carries_over() -> None:
    turn, told = orthonormal(normal(5, 5, seed=9)), statistics(7, 2, 5, seed=10)
    turned = Statistics(told.vectors @ turn.T, told.coefficients, told.shift)
    plain = Full.identity(2, 5).updated(told, "precision").dense()
    rotated = Full.identity(2, 5).updated(turned, "precision").dense()
    torch.testing.assert_close(rotated, turn @ plain @ turn.T)


@pytest.mark.parametrize("name", NAMES)
def test_divergence_from_the_prior(name: str) -> None:
    covariance, mean = varied(name, 2, 4), normal(2, 4, seed=11)
    scales = torch.tensor([0.5, 1.0, 2.0, 5.0]).double()
    found = kl_to_standard(mean, covariance, scales)
    for g in range(2):
        dense = scales[:, None] * covariance.dense()[g] * scales
        own = torch.distributions.MultivariateNormal(scales * mean[g], dense)
        prior = torch.distributions.MultivariateNormal(
            torch.zeros(4).double(), torch.eye(4).double()
        )
        torch.testing.assert_close(found[g], torch.distributions.kl_divergence(own, prior))


@pytest.mark.parametrize("covariance", [*(varied(name, 2, 6) for name in NAMES), large()])
def test_tensors_define_the_covariance(covariance: Covariance) -> None:
    options = {"rank": 6} if isinstance(covariance, LowRank) else {}
    again = type(covariance).identity(*covariance.shape, **options)
    again = again.with_tensors(covariance.tensors())
    x = normal(3, *covariance.shape)
    assert torch.equal(again.color(x), covariance.color(x))
    assert again.describe() == covariance.describe()


def test_orthonormal() -> None:
    basis = normal(8, 3)
    columns = orthonormal(basis)
    torch.testing.assert_close(columns.T @ columns, torch.eye(3).double())
    torch.testing.assert_close(columns @ (columns.T @ basis), basis)
    assert bool(((columns * basis).sum(0) > 0).all())
    with pytest.raises(CasboError, match="independent"):
        orthonormal(torch.ones(4, 2))
    with pytest.raises(CasboError, match="no more than rows"):
        orthonormal(normal(2, 3))


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(CasboError, match="at least 1, got 0"):
        LowRank.identity(1, 3, rank=0)


def _spread(m: int, seed: int) -> Tensor:
    """A covariance matrix with eigenvalues from 0.1 to 10."""
    turn = orthonormal(normal(m, m, seed=seed))
    return turn @ torch.diag(torch.logspace(-1, 1, m).double()) @ turn.T
