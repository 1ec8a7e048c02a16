"""An EDM model: network, noise schedule, and the steps of its reverse process.

The state z (B, n, 3 + C) holds, for every atom, its position and its C features, the one-hot
element and, in some models, the atomic number, each divided by its scale.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from .configuration import EdmConfig
from .dataset import Dataset
from .network import Dynamics, EquivariantNetwork
from .schedule import NoiseSchedule, ReverseStep, polynomial_gamma


class NoiseTable(nn.Module):
    """gamma at the times 0 .. T, stored with the weights."""

    def __init__(self, gamma: Tensor) -> None:
        super().__init__()
        self.gamma = nn.Parameter(gamma, requires_grad=False)


class EdmModel(nn.Module):
    """Parameters are named as in the official checkpoints.

    Parameters
    ----------
    config
        Sizes and constants.
    dataset
        Elements and numbers of atoms of the training set.
    """

    buffer: Tensor

    def __init__(self, config: EdmConfig, dataset: Dataset) -> None:
        super().__init__()
        self.config, self.dataset = config, dataset
        self.channels = config.channels(len(dataset.elements))
        power = int(config.noise_schedule.removeprefix("polynomial_"))
        table = polynomial_gamma(config.diffusion_steps, power, config.noise_precision)
        self.gamma = NoiseTable(torch.from_numpy(table).float())
        self.dynamics = Dynamics(EquivariantNetwork(self.channels + 1, config))
        self.register_buffer("buffer", torch.zeros(1))  # unused, but in every official checkpoint

    def noise_schedule(self) -> NoiseSchedule:
        """alpha and sigma of the stored table."""
        return NoiseSchedule(self.gamma.gamma.detach().double().cpu().numpy())

    def encode(self, positions: Tensor, elements: Tensor) -> Tensor:
        """Clean states (B, n, 3 + C) of positions (B, n, 3) in Å and element numbers (B, n)."""
        size, kind, charge = self.config.scales
        onehot = nn.functional.one_hot(elements, len(self.dataset.elements)).to(positions)
        parts = [positions / size, onehot / kind]
        if self.config.include_charges:
            numbers = torch.tensor(self.dataset.numbers, device=elements.device)[elements]
            parts.append(numbers.to(positions)[..., None] / charge)
        return torch.cat(parts, dim=-1)

    def decode(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, n, 3) in Å and element numbers (B, n) of states (B, n, 3 + C).

        An atom's element is the largest of its one-hot channels, all of them: the official sampler
        leaves the last one out in models without charges.
        """
        elements = state[..., 3 : 3 + len(self.dataset.elements)].argmax(-1)
        return state[..., :3] * self.config.scales[0], elements

    def predict_noise(self, state: Tensor, time: float, atoms: Tensor | None = None) -> Tensor:
        """The noise in states (B, n, 3 + C) at time t/T.

        ``atoms`` (B, n, 1) is 1 for atoms and 0 for padding; None where all are atoms.
        """
        if atoms is None:
            atoms = torch.ones_like(state[:1, :, :1])
        return self.dynamics(state, state.new_full((len(state),), time), atoms)

    def diffuse(self, clean: Tensor, noise: Tensor, time: int) -> Tensor:
        """The forward process: a sample of z_t for noise (B, n, 3 + C), positions centred."""
        schedule = self.noise_schedule()
        return schedule.alpha(time) * clean + schedule.sigma(time) * noise

    def digest(self) -> str:
        """Sixteen digits that identify the weights."""
        content = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            content.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        return content.hexdigest()[:16]


def centred_noise(noise: Tensor) -> Tensor:
    """Noise (B, n, 3 + C) with the mean of its position part over the atoms removed."""
    positions, features = noise[..., :3], noise[..., 3:]
    return torch.cat([positions - positions.mean(1, keepdim=True), features], dim=-1)


def advance(state: Tensor, predicted: Tensor, noise: Tensor | None, step: ReverseStep) -> Tensor:
    """The state after one reverse step; ``noise`` is centred, None where the step draws none."""
    state = step.keep * state + step.drift * predicted
    if noise is not None:
        state = state + step.up * noise
    return centred_noise(state)  # keeps rounding from carrying the molecule away


def clean_state(state: Tensor, predicted: Tensor, alpha: float, sigma: float) -> Tensor:
    """The clean state (B, n, 3 + C) that the predicted noise in z_t leaves."""
    return (state - sigma * predicted) / alpha


def last_state(state: Tensor, predicted: Tensor, noise: Tensor, schedule: NoiseSchedule) -> Tensor:
    """A sample of p(x | z_0): positions from prediction and ``noise``, features from z_0 itself.

    ``noise`` (B, n, 3 + C) is centred; only its position part is used.
    """
    alpha, sigma = schedule.alpha(0), schedule.sigma(0)
    positions = clean_state(state, predicted, alpha, sigma) + (sigma / alpha) * noise
    return torch.cat([positions[..., :3], state[..., 3:]], dim=-1)
