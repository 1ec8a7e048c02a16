"""The small EDM and TargetDiff that come with the package make molecules, in few steps as well."""

from __future__ import annotations

import pytest
import torch

for package in ("rdkit", "openbabel", "prolif"):
    pytest.importorskip(package, reason=f"{package} is part of casbo[molecules]")

from casbo.frozen import FrozenRows
from casbo_molecules.edm import EdmRollout
from casbo_molecules.targetdiff import Sampler, TargetDiffModel, TargetDiffRollout
from casbo_molecules.training import edm, targetdiff

COUNT = 24


def small_edm(eta: float, steps: int = 25) -> EdmRollout:
    return EdmRollout.from_checkpoint(edm.SHIPPED, atoms=9, steps=steps, eta=eta, microbatch=COUNT)


def small_targetdiff(eta: float, steps: int = 25) -> TargetDiffRollout:
    model = TargetDiffModel.from_checkpoint(targetdiff.SHIPPED)
    pocket = targetdiff.demonstration_pocket()[1]
    return TargetDiffRollout(model, pocket, 9, Sampler(steps, eta), microbatch=COUNT)


def noise(rollout, count: int = COUNT, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *rollout.shape, generator=generator)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("make", [small_edm, small_targetdiff])
def test_few_steps_make_molecules_most_of_the_time(make, eta):
    """At least as often as tossing a biased coin makes credible."""
    rollout = make(eta)
    found = [sample.smiles for sample in rollout(noise(rollout)).samples]
    valid = [smiles for smiles in found if smiles]
    assert len(valid) > COUNT / 2
    assert len(set(valid)) > 0.9 * len(valid)


def test_samples_lie_in_the_pocket():
    rollout = small_targetdiff(1.0)
    site = targetdiff.demonstration_pocket()[2].numpy()
    for sample in rollout(noise(rollout)).samples:
        assert abs(sample.positions.mean(axis=0) - site).max() < 5


def test_children_that_share_their_parents_early_noise_are_like_it():
    """Positions of children differ the less, the later the first row is that is drawn anew."""
    rollout = small_targetdiff(1.0)
    parent = noise(rollout, 1, seed=3)[0]
    whole = rollout(parent[None]).samples[0].positions

    def apart(rows: int) -> float:
        children = FrozenRows(rollout, parent, range(rows))
        found = children(noise(children, 8, seed=4)).samples
        return sum(float(((c.positions - whole) ** 2).mean()) for c in found) / len(found)

    distances = [apart(rows) for rows in (1, 12, 20, 24)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.1 * distances[0]
