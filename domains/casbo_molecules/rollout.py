"""The molecule model as a deterministic function of its noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from casbo.rollout import Trajectories
from casbo.spaces import Space

from .descriptors import DESCRIPTORS
from .diffusion import SPREADS, Sampler, State, advance, centred
from .elements import ATOMIC_NUMBERS, ELEMENTS, LARGEST_MOLECULE, SMALLEST_MOLECULE
from .model import SHIPPED, ModelError, MoleculeModel
from .molecule import Molecule
from .molecules_rollout import MoleculesRollout

CHUNK = 16  # candidates per network call; fixed, so that a result does not depend on N


class MoleculeRollout(MoleculesRollout):
    """Noise (N, K, D) -> N molecules of ``atoms`` heavy atoms each.

    Row 0 of the noise is the start of the reverse process, row k > 0 is injected after network
    evaluation k. A row holds the noise of positions (3 n numbers, atom by atom), of elements
    (n C) and of the global descriptors (G): D = n (3 + C) + G.
    """

    def __init__(self, model: MoleculeModel, atoms: int, sampler: Sampler | None = None) -> None:
        if not SMALLEST_MOLECULE <= atoms <= LARGEST_MOLECULE:
            raise ModelError(
                f"expected between {SMALLEST_MOLECULE} and {LARGEST_MOLECULE} heavy atoms, which "
                f"the model was trained on, got {atoms}"
            )
        self.model = model
        self.atoms = atoms
        self.sampler = sampler or Sampler()
        self.shape = (
            self.sampler.steps,
            atoms * (3 + len(ELEMENTS)) + len(DESCRIPTORS),
        )

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path = SHIPPED,
        *,
        atoms: int,
        device: str = "cpu",
        **sampler: Any,  # noqa: ANN401 - the fields of Sampler
    ) -> MoleculeRollout:
        """Load a model folder; keyword arguments are those of :class:`.diffusion.Sampler`."""
        return cls(MoleculeModel.from_pretrained(folder, device), atoms, Sampler(**sampler))

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Run the reverse process; ``predict`` names network evaluations (0 .. K-1) to report."""
        samples: list[Molecule] = []
        predictions: dict[int, list[Molecule]] = {step: [] for step in predict}
        for chunk in noise.split(CHUNK):
            final, clean = self._reverse(_padded(chunk), predictions.keys())
            samples += self.molecules(final, len(chunk))
            for step, state in clean.items():
                predictions[step] += self.molecules(state, len(chunk))
        return Trajectories(samples, predictions)

    def space(self) -> Space:
        """The permutation-invariant directions of :func:`.space.symmetric_space`."""
        from .space import symmetric_space

        return symmetric_space(self.atoms, self.sampler)

    def describe(self) -> dict[str, Any]:
        """What identifies this rollout, as JSON values."""
        return {**super().describe(), "atoms": self.atoms, "sampler": asdict(self.sampler)}

    def _reverse(self, noise: Tensor, predict: Collection[int]) -> tuple[State, dict[int, State]]:
        weight = self.model.descriptor_mean
        device = next(self.model.denoiser.parameters()).device
        noise = noise.to(device=device, dtype=weight.dtype)
        start = self.sampler.sigma_max
        state = State(
            *(
                (start**2 + spread**2) ** 0.5 * x
                for x, spread in zip(self.split(noise[:, 0]), SPREADS, strict=True)
            )
        )
        predicted = {}
        with torch.inference_mode():
            for index, step in enumerate(self.sampler.schedule()):
                fresh = self.split(noise[:, index + 1]) if step.up > 0 else None
                state, clean = advance(self.model.denoiser, state, fresh, step)
                if index in predict:
                    predicted[index] = clean
        return state, predicted

    def split(self, noise: Tensor) -> State:
        """Noise rows (B, D) -> noise of positions (centred), elements and descriptors."""
        positions, elements, descriptors = noise.split(
            [3 * self.atoms, len(ELEMENTS) * self.atoms, len(DESCRIPTORS)], dim=1
        )
        return State(
            centred(positions.unflatten(1, (self.atoms, 3))),
            elements.unflatten(1, (self.atoms, len(ELEMENTS))),
            descriptors,
        )

    def molecules(self, state: State, count: int) -> list[Molecule]:
        """The first ``count`` states as molecules, bonds perceived."""
        numbers = torch.tensor(ATOMIC_NUMBERS)[state.elements.argmax(-1).cpu()]
        positions = state.positions.double().cpu().numpy()
        return [
            Molecule.from_atoms(positions[row], tuple(numbers[row].tolist()))
            for row in range(count)
        ]


def _padded(noise: Tensor) -> Tensor:
    """Noise (n, K, D) filled up to :data:`CHUNK` rows with its last one."""
    missing = CHUNK - len(noise)
    return noise if missing == 0 else torch.cat([noise, noise[-1:].expand(missing, -1, -1)])
