"""What EDM is trained on: the noise in noised molecules."""

from __future__ import annotations

import torch
from torch import Tensor

from .model import EdmModel, centred_noise


def diffusion_loss(model: EdmModel, clean: Tensor, times: Tensor, noise: Tensor) -> Tensor:
    """Half the mean squared error of the predicted noise, differentiable: the official "l2" loss.

    Its further terms depend on no weight.

    Parameters
    ----------
    model
        Its weights.
    clean
        States (B, n, 3 + C) of molecules of one size, positions centred.
    times
        Of each molecule, from 0 to T, (B,).
    noise
        Standard-normal numbers with the shape of ``clean``.
    """
    noise, gamma = centred_noise(noise), model.gamma.gamma[times][:, None, None]
    noised = gamma.neg().sigmoid().sqrt() * clean + gamma.sigmoid().sqrt() * noise
    atoms = torch.ones_like(clean[:1, :, :1])
    predicted = model.dynamics(noised, times.to(clean) / model.config.diffusion_steps, atoms)
    return 0.5 * (noise - predicted).square().mean()
