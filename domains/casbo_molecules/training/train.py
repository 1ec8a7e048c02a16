"""Train the molecule model on a file of conformers.

    python -m casbo_molecules.training.train conformers.safetensors --out model --steps 40000

Runs on the CPU (bfloat16 arithmetic, compiled) or on CUDA. The learning rate is constant and falls
linearly to zero over the last part of the steps. Progress is checkpointed; the same command
continues from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..descriptors import DESCRIPTORS
from ..diffusion import DESCRIPTOR_SCALE, Denoiser, State, centred, raw_target
from ..elements import ELEMENTS
from ..network import EquivariantNetwork, NetworkConfig
from . import loop
from .dataset import Conformers

LOSS_WEIGHTS = State(1.0, 0.5, 0.1)  # type: ignore[arg-type]
LOG_SIGMA_MEAN, LOG_SIGMA_STD = -0.6, 1.4


@dataclass(frozen=True)
class DenoisingLoss:
    """The EDM loss of a batch of molecules with their standardised descriptors."""

    denoiser: Denoiser
    conformers: Conformers
    batch: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        """The loss of a batch that is drawn with the generator."""
        device = next(self.denoiser.parameters()).device
        clean = State(*(x.to(device) for x in clean_batch(self.conformers, self.batch, generator)))
        return loss(self.denoiser, clean, generator)


def clean_batch(conformers: Conformers, size: int, generator: torch.Generator) -> State:
    """Molecules as the model's coordinates."""
    drawn = conformers.batch(size, generator)
    one_hot = torch.nn.functional.one_hot(drawn.elements, len(ELEMENTS)).float()
    mean, std = conformers.descriptors.mean(0), conformers.descriptors.std(0)
    descriptors = (conformers.descriptors[drawn.rows] - mean) / std * DESCRIPTOR_SCALE
    return State(drawn.positions, one_hot, descriptors)


def loss(denoiser: Denoiser, clean: State, generator: torch.Generator) -> Tensor:
    """The EDM loss of one batch at random noise levels."""
    count = len(clean.descriptors)
    device = clean.descriptors.device
    draw = torch.randn(count, generator=generator)
    sigma = (LOG_SIGMA_MEAN + LOG_SIGMA_STD * draw).exp().clamp(0.005, 50).to(device)
    noises = [torch.randn(x.shape, generator=generator).to(device) for x in clean]
    noises[0] = centred(noises[0])
    noisy = State(
        *(
            x + sigma.reshape(-1, *[1] * (x.dim() - 1)) * e
            for x, e in zip(clean, noises, strict=True)
        )
    )
    target = raw_target(clean, noisy, sigma)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = denoiser.raw(noisy, sigma)
    errors = [(f.float() - y).square().mean() for f, y in zip(output, target, strict=True)]
    return sum(w * e for w, e in zip(LOSS_WEIGHTS, errors, strict=True))  # type: ignore[return-value,misc]


def train(options: argparse.Namespace) -> None:
    """Run or continue a training; writes ``model.safetensors`` and ``config.json`` in ``--out``."""
    schedule = loop.begin(options)
    conformers = Conformers.read(options.data)
    config = NetworkConfig(elements=len(ELEMENTS), descriptors=len(DESCRIPTORS))
    denoiser = Denoiser(EquivariantNetwork(config)).to(options.device)
    if options.compile:  # layer by layer: one small graph, compiled once for all sizes
        for layer in denoiser.network.layers:
            layer.compile(dynamic=True)
    loss = DenoisingLoss(denoiser, conformers, options.batch)
    save = partial(save_model, conformers=conformers, folder=options.out)
    loop.train(denoiser, loss, schedule, options.out, save)


def save_model(denoiser: Denoiser, conformers: Conformers, folder: Path) -> None:
    """Write weights, descriptor statistics and configuration, each file whole or not at all."""
    tensors = {key: value.contiguous().cpu() for key, value in denoiser.state_dict().items()}
    tensors["descriptor_mean"] = conformers.descriptors.mean(0)
    tensors["descriptor_std"] = conformers.descriptors.std(0)
    save_file(tensors, folder / "model.safetensors.new")
    config = {
        "elements": list(ELEMENTS),
        "descriptors": list(DESCRIPTORS),
        "network": asdict(denoiser.network.config),
    }
    (folder / "config.json.new").write_text(json.dumps(config, indent=1) + "\n")
    for name in ("model.safetensors", "config.json"):
        os.replace(folder / f"{name}.new", folder / name)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = loop.arguments(
        __doc__.splitlines()[0], steps=40_000, batch=96, rate=1e-3, memory=0.9995
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    return parser


if __name__ == "__main__":
    train(parser().parse_args())
