"""An EDM model as a deterministic function of its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from casbo.errors import RolloutError
from casbo.rollout import Trajectories
from casbo.spaces import Space

from ..model import ModelError
from ..molecule import Molecule
from ..molecules_rollout import MoleculesRollout
from .checkpoint import load_model
from .model import EdmModel, advance, centred_noise, clean_state, last_state
from .molecules import molecule_with_hydrogens
from .noise_rows import PARTS, NoiseRows, checked_parts
from .sampler import Sampler

GPU_PAIRS = 60_000  # pairs of atoms that fill a GPU; on a CPU one molecule's fill the cache


class EdmRollout(MoleculesRollout):
    """Noise (N, K, D) -> N molecules of ``atoms`` atoms each, the model's hydrogens among them.

    Samples are :class:`~casbo_molecules.molecule.Molecule` objects of the heavy atoms, their
    bonds perceived with the hydrogens; :meth:`atoms_of` returns all atoms. Row 0 of the noise is
    the start of the reverse process, row k the noise of step k, and the last row that of the final
    positions. A row holds the noise of positions (3 n numbers, atom by atom; their mean over atoms
    is projected away) and of types (n C: one-hot elements, and the charge where the model has it).

    Parameters
    ----------
    model
        From :func:`~casbo_molecules.edm.load_model`.
    atoms
        n, hydrogens included.
    sampler
        Steps and eta; None for the full ancestral chain.
    steer
        What the noise argument holds: ``("positions",)``, ``("types",)`` or both. Noise of the
        other kind is drawn once from ``frozen_seed`` and is the same for every sample, so that
        nothing but the argument tells two samples apart.
    frozen_seed
        See ``steer``.
    microbatch
        Molecules in one network call; None for what suits the device: one on a CPU, where the
        pairs of its atoms are work enough, many on a GPU. A last, smaller batch is filled up. So a
        sample depends on N and on its neighbours not at all on a CPU, bit by bit, and to rounding
        elsewhere.

    Raises
    ------
    ModelError
        If the model was not trained on such sizes, or an option is out of its range.
    """

    def __init__(
        self,
        model: EdmModel,
        atoms: int,
        *,
        sampler: Sampler | None = None,
        steer: Sequence[str] = PARTS,
        frozen_seed: int = 0,
        microbatch: int | None = None,
    ) -> None:
        dataset = model.dataset
        if not dataset.smallest <= atoms <= dataset.largest:
            raise ModelError(
                f"expected between {dataset.smallest} and {dataset.largest} atoms, hydrogens "
                f"included, which the model was trained on, got {atoms}"
            )
        if microbatch is not None and microbatch < 1:
            raise ModelError(f"expected microbatch >= 1, got {microbatch}")
        self.model, self.atoms = model, atoms
        self.sampler = sampler or Sampler(steps=model.config.diffusion_steps)
        self._noise_schedule = model.noise_schedule()
        self._schedule = self.sampler.schedule(self._noise_schedule)
        self.rows = NoiseRows(
            atoms,
            model.channels,
            self.sampler.steps,
            self.sampler.eta > 0,
            checked_parts(steer),
            frozen_seed,
        )
        suited = 1 if self._device.type == "cpu" else max(1, GPU_PAIRS // atoms**2)
        self.microbatch = suited if microbatch is None else microbatch
        self.shape = self.rows.shape

    @classmethod
    def from_checkpoint(
        cls,
        folder: str | Path,
        *,
        atoms: int | None = None,
        size_seed: int | None = None,
        steps: int | None = None,
        eta: float = 1.0,
        device: str | torch.device = "cpu",
        **options: Any,  # noqa: ANN401 - those of the class
    ) -> EdmRollout:
        """Load an official checkpoint folder; further options as for the class.

        Parameters
        ----------
        folder
            See :mod:`casbo_molecules.edm.checkpoint`.
        atoms, size_seed
            n, hydrogens included; or the seed with which it is drawn from the sizes of the
            training set. One of the two.
        steps, eta
            Of the :class:`~casbo_molecules.edm.Sampler`; ``steps`` None for the full chain.
        device
            Of the network.

        Raises
        ------
        ModelError
            If the folder or an option cannot be used.
        """
        if (atoms is None) == (size_seed is None):
            raise ModelError(
                "expected either atoms (hydrogens included) or size_seed, which draws them from "
                f"the training set's sizes, got atoms={atoms} and size_seed={size_seed}"
            )
        model = load_model(folder, device)
        if atoms is None:
            assert size_seed is not None
            (atoms,) = model.dataset.draw_sizes(1, size_seed)
        sampler = Sampler(model.config.diffusion_steps if steps is None else steps, eta)
        return cls(model, atoms, sampler=sampler, **options)

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Run the reverse process.

        Parameters
        ----------
        noise
            With shape (N, K, D).
        predict
            Rows k: the prediction is the clean molecule that the network sees in the state that
            row k has completed; after the last row it is the sample.

        Raises
        ------
        casbo.errors.RolloutError
            If the noise has another shape, or a step is none of 0 to K - 1.
        """
        K, D = self.shape
        if noise.ndim != 3 or noise.shape[1:] != (K, D):
            raise RolloutError(
                f"Expected noise with shape (N, {K}, {D}), got {tuple(noise.shape)}."
            )
        if any(not 0 <= step < K for step in predict):
            raise RolloutError(f"Expected steps from 0 to {K - 1}, got {tuple(predict)}.")
        samples: list[Molecule] = []
        predictions: dict[int, list[Molecule]] = {step: [] for step in predict}
        for chunk in noise.split(self.microbatch):
            final, clean = self._reverse(chunk, predictions)
            samples += self._molecules(final)
            for step, state in clean.items():
                predictions[step] += self._molecules(state)
        return Trajectories(samples, predictions)

    def atoms_of(self, noise: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """All atoms of the samples: positions (N, n, 3) in Å and atomic numbers (N, n)."""
        states = [self._reverse(chunk, ())[0] for chunk in noise.split(self.microbatch)]
        return self._decoded(torch.cat(states))

    def space(self) -> Space:
        """The permutation-invariant directions of :mod:`casbo_molecules.edm.space`.

        Positions have none: where types are not steered, it is one Gaussian for each row.
        """
        from .space import type_space

        if self.rows.types is None:
            return super().space()
        times = self.sampler.times(self._noise_schedule.steps)
        scale = self.model.config.scales[1]
        levels = [
            scale
            * self._noise_schedule.sigma(times[event])
            / self._noise_schedule.alpha(times[event])
            if event <= self.sampler.steps
            else -1.0
            for event in self.rows.events
        ]
        return type_space(levels, self.atoms, self.rows.types, self.shape[1])

    def describe(self) -> dict[str, Any]:
        """What identifies this rollout, as JSON values."""
        return {
            **super().describe(),
            "dataset": self.model.dataset.name,
            "weights": self.model.digest(),
            "atoms": self.atoms,
            "sampler": asdict(self.sampler),
            "steer": list(self.rows.steer),
            "frozen_seed": self.rows.frozen_seed,
            "microbatch": self.microbatch,
        }

    @property
    def _device(self) -> torch.device:
        return self.model.buffer.device

    @torch.inference_mode()
    def _reverse(
        self, noise: Tensor, predict: Sequence[int] | Mapping[int, Any]
    ) -> tuple[Tensor, dict[int, Tensor]]:
        """Final states (B, n, 3 + C) and clean ones after the rows named, for one micro-batch."""
        count, dtype = len(noise), self.model.buffer.dtype
        filled = self.rows.filled(_padded(noise, self.microbatch).to(self._device, dtype))
        wanted = {self.rows.events[row]: row for row in predict}
        clean: dict[int, Tensor] = {}
        state = centred_noise(next(filled))
        for index, step in enumerate(self._schedule):
            predicted = self.model.predict_noise(state, step.time)
            if index in wanted:
                clean[wanted[index]] = clean_state(state, predicted, step.alpha, step.sigma)
            state = advance(state, predicted, centred_noise(next(filled)), step)
        predicted = self.model.predict_noise(state, 0.0)
        final = last_state(state, predicted, centred_noise(next(filled)), self._noise_schedule)
        end = len(self._schedule)
        if end in wanted:
            silent = torch.zeros_like(state)
            clean[wanted[end]] = last_state(state, predicted, silent, self._noise_schedule)
        if end + 1 in wanted:
            clean[wanted[end + 1]] = final
        return final[:count], {row: states[:count] for row, states in clean.items()}

    def _decoded(self, states: Tensor) -> tuple[np.ndarray, np.ndarray]:
        positions, elements = self.model.decode(states)
        numbers = np.array(self.model.dataset.numbers)[elements.cpu().numpy()]
        return positions.double().cpu().numpy(), numbers

    def _molecules(self, states: Tensor) -> list[Molecule]:
        positions, numbers = self._decoded(states)
        return [molecule_with_hydrogens(*atoms) for atoms in zip(positions, numbers, strict=True)]


def _padded(noise: Tensor, count: int) -> Tensor:
    """Noise (b, K, D) filled up to ``count`` rows with its last one."""
    missing = count - len(noise)
    return noise if missing == 0 else torch.cat([noise, noise[-1:].expand(missing, -1, -1)])
