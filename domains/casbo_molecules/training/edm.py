"""Train a small EDM without hydrogens on a file of conformers, in the official folder's format.

    python -m casbo_molecules.training.edm conformers.safetensors --out model

The networks of the paper need a GPU for days; this one is of a size that a processor trains in
half an hour, to try samplers and controls on. One comes with the package: :data:`SHIPPED`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..edm import EdmConfig, EdmModel
from ..edm.checkpoint import save_model
from ..edm.dataset import Dataset
from ..edm.loss import diffusion_loss
from ..elements import ELEMENTS
from . import loop
from .dataset import Conformers

#: The folder of a model that this program made, of 2,000 molecules of 8 or 9 heavy atoms of QM9.
SHIPPED = Path(__file__).parents[1] / "weights" / "small_edm"
FIRST_SHIFT = 0.001  # of the size of torch's own initial weights


@dataclass(frozen=True)
class NoiseLoss:
    """The loss of a batch of molecules at random times."""

    model: EdmModel
    conformers: Conformers
    batch: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        """Times are uniform from 0 to T."""
        drawn = self.conformers.batch(self.batch, generator)
        clean = self.model.encode(drawn.positions, drawn.elements)
        last = self.model.config.diffusion_steps
        times = torch.randint(last + 1, (self.batch,), generator=generator)
        return diffusion_loss(
            self.model, clean, times, torch.randn(clean.shape, generator=generator)
        )


def new_model(conformers: Conformers, width: int, layers: int) -> EdmModel:
    """An untrained model of these molecules; weights from torch's global seed."""
    counts = torch.zeros(len(ELEMENTS), dtype=torch.long)
    for group in conformers.groups:
        counts += group.elements.flatten().bincount(minlength=len(ELEMENTS))
    dataset = Dataset("fragments", ELEMENTS, conformers.sizes, tuple(counts.tolist()))
    model = EdmModel(EdmConfig(width=width, layers=layers, include_charges=False), dataset)
    with torch.no_grad():  # at first hardly any atom moves, as in the official network
        for name, weight in model.named_parameters():
            if name.endswith("coord_mlp.4.weight"):
                weight.mul_(FIRST_SHIFT)
    return model


def train(options: argparse.Namespace) -> None:
    """Run or continue a training; ``--out`` then holds a folder as the official ones."""
    schedule = loop.begin(options)
    conformers = Conformers.read(options.data)
    model = new_model(conformers, options.width, options.layers)
    loss = NoiseLoss(model, conformers, options.batch)
    loop.train(model, loss, schedule, options.out, partial(save_model, folder=options.out))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = loop.arguments(
        __doc__.splitlines()[0], steps=5_000, batch=64, rate=1e-3, memory=0.999
    )
    parser.add_argument("--width", type=int, default=64, help="features of an atom")
    parser.add_argument("--layers", type=int, default=5)
    return parser


if __name__ == "__main__":
    train(parser().parse_args())
