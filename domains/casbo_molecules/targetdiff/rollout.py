"""TargetDiff in one pocket as a deterministic function of its noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from casbo.rollout import Trajectories
from casbo.spaces import Space

from ..molecule import Molecule
from ..molecules_rollout import MoleculesRollout
from .errors import TargetDiffError
from .model import TargetDiffModel
from .pocket import Pocket
from .sampler import Sampler, State, advance, start
from .schedule import Schedule
from .vocabulary import MODES

MICROBATCH_CPU, MICROBATCH_GPU = 1, 32
STEERABLE = ("positions", "types")


class TargetDiffRollout(MoleculesRollout):
    """Noise (N, K, D) -> N molecules of ``atoms`` atoms in the protein's own frame.

    Row 0 of the noise is the start, row k > 0 is injected after network evaluation k. A row holds
    the noise of positions (3 n numbers, atom by atom) and, where types are steered, of types (n C):
    D = n (3 + C), or D = 3 n. Type noise is standard normal too: its quantile u = Phi(z) is the
    uniform number from which the authors' Gumbel noise is made.

    Parameters
    ----------
    model, pocket, atoms
        The network, the protein and n, the atoms of every ligand.
    sampler
        The reverse process; its ``types`` say whether types are steered.
    microbatch
        Candidates per network call; None for what suits the device. On a CPU it is 1, where more
        would not be faster, and results then do not depend on N bit by bit; else to rounding.
    """

    def __init__(
        self,
        model: TargetDiffModel,
        pocket: Pocket,
        atoms: int,
        sampler: Sampler | None = None,
        *,
        microbatch: int | None = None,
    ) -> None:
        if atoms < 1:
            raise TargetDiffError(f"expected at least 1 atom, got {atoms}")
        if microbatch is not None and microbatch < 1:
            raise TargetDiffError(f"expected a microbatch of at least 1, got {microbatch}")
        self.model = model
        self.pocket = pocket
        self.atoms = atoms
        self.sampler = sampler or Sampler()
        on_gpu = model.device.type == "cuda"
        self.microbatch = microbatch or (MICROBATCH_GPU if on_gpu else MICROBATCH_CPU)
        C = model.config.types
        self.shape = (self.sampler.rows, atoms * (3 + (C if self.steers_types else 0)))
        self._network = model.inside(pocket)
        self._steps = self.sampler.schedule(Schedule(model.config))
        self._frozen = self._frozen_noise()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: str | Path,
        protein: str | Path,
        ligand: str | Path | None = None,
        *,
        atoms: int,
        steer: Collection[str] = STEERABLE,
        device: str = "cpu",
        **sampler: Any,  # noqa: ANN401 - the fields of Sampler
    ) -> TargetDiffRollout:
        """Load a model and a pocket; other keyword arguments are those of :class:`.sampler.Sampler`.

        Parameters
        ----------
        checkpoint
            Of :meth:`.model.TargetDiffModel.from_checkpoint`.
        protein, ligand
            Of :meth:`.pocket.Pocket.from_file`.
        atoms
            n, the atoms of every ligand.
        steer
            ("positions",) or ("positions", "types").

        Raises
        ------
        TargetDiffError, casbo_molecules.errors.DockingInputError
            If a file or an option cannot be used.
        """
        options = steering(Sampler(**sampler), steer)
        model = TargetDiffModel.from_checkpoint(checkpoint, device=device)
        return cls(model, Pocket.from_file(protein, ligand), atoms, options)

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Run the reverse process; ``predict`` names rows k: the clean sample predicted after each.

        The prediction after the last row is the sample itself.
        """
        samples: list[Molecule] = []
        predictions: dict[int, list[Molecule]] = {row: [] for row in predict}
        for part in noise.split(self.microbatch):
            final, clean = self._reverse(part, predictions.keys())
            samples += self.molecules(final)
            for row, state in clean.items():
                predictions[row] += self.molecules(state)
        return Trajectories(samples, predictions)

    @property
    def steers_types(self) -> bool:
        """Whether the noise of types is part of the rollout's noise."""
        return self.sampler.types == "steered"

    def space(self) -> Space:
        """The permutation-invariant directions of :func:`.space.symmetric_space`."""
        from .space import symmetric_space

        return symmetric_space(
            self.shape, self.atoms, self.model.config.types if self.steers_types else 0
        )

    def describe(self) -> dict[str, Any]:
        """What identifies this rollout, as JSON values."""
        return {
            **super().describe(),
            "atoms": self.atoms,
            "sampler": asdict(self.sampler),
            "network": asdict(self.model.config),
        }

    def split(self, noise: Tensor) -> tuple[Tensor, Tensor | None]:
        """A row of noise (B, D) -> noise of positions (B, n, 3) and of types (B, n, C) or None."""
        positions = noise[:, : 3 * self.atoms].unflatten(1, (self.atoms, 3))
        if not self.steers_types:
            return positions, None
        return positions, noise[:, 3 * self.atoms :].unflatten(1, (self.atoms, -1))

    def molecules(self, state: State) -> list[Molecule]:
        """The states as molecules in the protein's frame, bonds perceived."""
        mode = MODES[self.model.config.ligand_atom_mode]
        numbers = torch.tensor([kind.atomic_number for kind in mode])[state.types.cpu()]
        positions = state.positions.double().cpu() + self.pocket.center
        return [
            _molecule(xyz.numpy(), row.tolist())
            for xyz, row in zip(positions, numbers, strict=True)
        ]

    @torch.inference_mode()
    def _reverse(self, noise: Tensor, predict: Collection[int]) -> tuple[State, dict[int, State]]:
        noise = noise.to(self.model.device)
        state = start(*self._noise(noise, 0))
        predicted = {}
        for index, step in enumerate(self._steps):
            prediction = self._network(state.positions, state.types)
            if index in predict and index < self.shape[0] - 1:
                predicted[index] = State(prediction.positions, prediction.logits.argmax(dim=-1))
            fresh = self._noise(noise, index + 1) if index + 1 < len(self._steps) else (None, None)
            state = advance(state, prediction.positions, prediction.logits, step, fresh)
        if self.shape[0] - 1 in predict:
            predicted[self.shape[0] - 1] = state
        return state, predicted

    def _noise(self, noise: Tensor, row: int) -> tuple[Tensor | None, Tensor | None]:
        """Noise of positions and types for a row; None where there is none."""
        positions, types = self.split(noise[:, row]) if row < noise.shape[1] else (None, None)
        if types is None and (row == 0 or self.sampler.types == "frozen"):
            types = self._frozen[row].expand(len(noise), -1, -1)
        if positions is not None:
            positions = positions.to(self._network.positions)
        return positions, types

    def _frozen_noise(self) -> Tensor:
        """Type noise (S, n, C) that is the same for every candidate."""
        generator = torch.Generator().manual_seed(self.sampler.seed)
        shape = (self.sampler.steps, self.atoms, self.model.config.types)
        normal = torch.randn(shape, generator=generator, dtype=torch.float64)
        return normal.to(self.model.device)


def steering(sampler: Sampler, steer: Collection[str]) -> Sampler:
    """The sampler in which just these parts of the noise are controls.

    Raises
    ------
    TargetDiffError
        If they are not ("positions",) or ("positions", "types").
    """
    if set(steer) == set(STEERABLE):
        return replace(sampler, types="steered")
    if set(steer) == {"positions"}:
        return replace(sampler, types="argmax" if sampler.types == "argmax" else "frozen")
    raise TargetDiffError(
        f"expected steer as positions or positions,types, got {','.join(steer) or 'nothing'}"
    )


def _molecule(positions: Any, numbers: Sequence[int]) -> Molecule:  # noqa: ANN401 - an array
    """The atoms as a molecule; hydrogens, which the model may make, become implicit ones."""
    molecule = Molecule.from_atoms(positions, numbers)
    if molecule.mol is None or 1 not in numbers:
        return molecule
    return Molecule.from_mol(molecule.mol)
