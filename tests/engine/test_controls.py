"""Controls: sampling laws, saving and loading, what is reported about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import casbo
from casbo import CasboError, Controls, PerStep, Subspace, orthonormal
from casbo.controls import base_noise

from .problems import normal, search, varied
from .test_rules import sphere
from .test_spaces import spaces


def some(space: casbo.Space, covariance: str = "full", **more: Any) -> Controls:
    """Controls with something learned, for (K, D) = (4, 6)."""
    layout = space.layout(4, 6)
    mean = normal(layout.groups, layout.coordinates, seed=1)
    cov = varied(covariance, layout.groups, layout.coordinates)
    return Controls(mean, cov, space, (4, 6), **more)


def test_samples_follow_the_law() -> None:
    controls = some(PerStep())
    noise = controls.noise(20_000, seed=1)
    for k in range(4):
        error = noise[:, k].std(0) / 20_000**0.5
        assert bool(((noise[:, k].mean(0) - controls.mean[k]).abs() < 6 * error).all())
        outer = (noise[:, k] - controls.mean[k])[:, :, None] * (noise[:, k] - controls.mean[k])[
            :, None
        ]
        error = outer.std(0) / 20_000**0.5
        assert bool(((outer.mean(0) - controls.covariance.dense()[k]).abs() < 6 * error).all())


def test_base_noise_is_standard_normal_and_streams_differ() -> None:
    rows = torch.stack([base_noise((2, 3), 0, 7, n) for n in range(5_000)])
    assert float(rows.mean().abs()) < 6 / rows.numel() ** 0.5
    assert float((rows.square().mean() - 1).abs()) < 6 * (2 / rows.numel()) ** 0.5
    assert not torch.equal(base_noise((2, 3), 0, 7, 1), base_noise((2, 3), 1, 7, 1))
    assert torch.equal(base_noise((2, 3), 0, 7, 1), base_noise((2, 3), 0, 7, 1))


def test_a_row_depends_on_its_seed_and_place_only() -> None:
    controls = some(PerStep())
    torch.testing.assert_close(controls.noise(3, seed=4), controls.noise(9, seed=4)[:3])
    assert not torch.equal(controls.noise(3, seed=4), controls.noise(3, seed=5))
    with pytest.raises(CasboError, match="negative"):
        controls.noise(1, seed=-1)
    with pytest.raises(CasboError, match="at least 1"):
        controls.noise(0, seed=1)


@pytest.mark.parametrize("name", sorted(spaces()))
def test_projected_noise_has_the_norm_of_its_base_noise(name: str) -> None:
    free, projected = (some(spaces()[name], noise_norm=n) for n in ("free", "project"))  # type: ignore[arg-type]
    base = normal(5, 4, 6)
    noise = projected.noise_from(base)
    torch.testing.assert_close(noise.norm(dim=-1), base.norm(dim=-1))
    cosine = torch.cosine_similarity(noise, free.noise_from(base), dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


@pytest.mark.parametrize("norm", ["free", "project"])
@pytest.mark.parametrize("covariance", ["full", "low_rank", "diagonal", "isotropic"])
@pytest.mark.parametrize("name", sorted(spaces()))
def test_mirrored_noise_is_that_of_base_noise_and_of_its_negative(
    name: str, covariance: str, norm: Any
) -> None:
    controls, base = some(spaces()[name], covariance, noise_norm=norm), normal(5, 4, 6)
    both = torch.cat([controls.noise_from(base), controls.noise_from(-base)])
    torch.testing.assert_close(controls.noise_from(base, mirrored=True), both)


@pytest.mark.parametrize("covariance", ["full", "low_rank", "diagonal", "isotropic"])
@pytest.mark.parametrize("name", sorted(spaces()))
def test_saving_and_loading(tmp_path: Path, name: str, covariance: str) -> None:
    controls = some(spaces()[name], covariance, noise_norm="project")
    again = Controls.load(controls.save(tmp_path / "controls.safetensors"))
    assert torch.equal(again.noise(3, seed=2), controls.noise(3, seed=2))
    assert again.describe() == controls.describe()
    assert again.mean.dtype == controls.mean.dtype
    assert list(tmp_path.iterdir()) == [tmp_path / "controls.safetensors"]


def test_what_is_no_controls_file_is_refused(tmp_path: Path) -> None:
    path = some(PerStep()).save(tmp_path / "controls.safetensors")
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])
    with pytest.raises(CasboError, match="reading failed"):
        Controls.load(path)
    with pytest.raises(CasboError, match="reading failed"):
        Controls.load(tmp_path / "nothing.safetensors")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(CasboError, match="saved by casbo"):
        Controls.load(path)


def test_the_prior_is_the_prior() -> None:
    controls = casbo.Optimizer(3, 5, 4).controls
    torch.testing.assert_close(controls.kl_to_prior(), torch.zeros(3).double())
    torch.testing.assert_close(controls.spectrum(), torch.ones(3, 5).double())
    norms = controls.noise_norm_by_step(2_000)
    torch.testing.assert_close(norms, torch.ones(3).double(), atol=0.05, rtol=0)


def test_divergence_counts_the_exploration_scale() -> None:
    """A start at scale 5 is not the prior: m (25 - 1 - ln 25) / 2 nats away."""
    space = Subspace(orthonormal(normal(6, 2)), scale=5.0)
    controls = casbo.Optimizer(3, 6, 4, space=space).controls
    expected = 0.5 * 2 * (25 - 1 - torch.tensor(25.0).log().double())
    torch.testing.assert_close(controls.kl_to_prior(), expected.expand(3))


def test_learned_controls_sample_better_noise_without_queries() -> None:
    optimizer = search(sphere, 1_000, 2, 4, 20)
    noise = optimizer.controls.noise(50, seed=1)
    assert optimizer.queries == 1_000
    assert float(sphere(noise).mean()) < 0.05 * float(sphere(normal(50, 2, 4)).mean())


def test_public_names_exist() -> None:
    assert set(casbo.__all__) - {"__version__"} == set(casbo._HOME)
    for name in casbo.__all__:
        assert getattr(casbo, name) is not None
        assert name in dir(casbo)
    with pytest.raises(AttributeError, match="nothing"):
        _ = casbo.nothing
