"""Train a small TargetDiff in a toy pocket on a file of conformers.

    python -m casbo_molecules.training.targetdiff conformers.safetensors --out model

The published model saw 100,000 complexes on a GPU for days; this one learns fragments that are
placed in the pocket of one receptor, which four of its atoms stand for (:mod:`.placement`), in less
than an hour on a processor: to try samplers and controls on. ``--out`` then holds ``config.json`` and
``model.safetensors``; the pocket is :func:`demonstration_pocket`. One comes with the package:
:data:`SHIPPED`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..elements import ATOMIC_NUMBERS
from ..target import default_target
from ..targetdiff import Pocket, TargetDiffConfig, TargetDiffModel
from ..targetdiff.inference import PocketInference
from ..targetdiff.loss import diffusion_loss
from ..targetdiff.network import Batch, Prediction, TargetDiffNetwork
from ..targetdiff.pocket import heavy_positions
from ..targetdiff.vocabulary import MODES
from . import loop
from .dataset import Conformers, Molecules
from .placement import placed, toy_pocket

#: The folder of a model that this program made, of 2,000 molecules of 8 or 9 heavy atoms of QM9.
SHIPPED = Path(__file__).parents[1] / "weights" / "small_targetdiff"
MODE = "basic"
BLOCK = 1 << 20  # atoms at a time: all, for gradients keep everything in memory anyway


@dataclass(frozen=True)
class SharedPocket:
    """The network on ligands of one size in one pocket, as :class:`.network.TargetDiffNetwork`'s call."""

    network: TargetDiffNetwork
    pocket: Pocket
    graphs: int

    def __call__(self, batch: Batch) -> Prediction:
        """Predict for a batch whose graphs all hold this pocket; all (L, ...)."""
        centred = (self.pocket.positions - self.pocket.center).float()
        inside = PocketInference(self.network, centred, self.pocket.features, BLOCK)
        shape = (self.graphs, -1)
        found = inside(
            batch.ligand_positions.unflatten(0, shape), batch.ligand_types.unflatten(0, shape)
        )
        return Prediction(*(part.flatten(0, 1) for part in found))


@dataclass(frozen=True)
class PocketLoss:
    """The loss of a batch of molecules in the pocket at random times."""

    network: TargetDiffNetwork
    molecules: Conformers
    pocket: Pocket
    batch: int

    def __call__(self, generator: torch.Generator) -> Tensor:
        """Times are uniform, in antithetic pairs, as the authors draw them."""
        drawn = self.molecules.batch(self.batch, generator)
        clean = self.graphs(drawn)
        last, half = self.network.config.num_diffusion_timesteps, self.batch // 2 + 1
        times = torch.randint(last, (half,), generator=generator)
        times = torch.cat([times, last - 1 - times])[: self.batch]
        shape = (len(clean.ligand_types), self.network.config.types)
        noise = (
            torch.randn(shape[0], 3, generator=generator),
            torch.randn(shape, generator=generator),
        )
        predict = SharedPocket(self.network, self.pocket, self.batch)
        return diffusion_loss(self.network, clean, times, noise, predict=predict).total

    def graphs(self, drawn: Molecules) -> Batch:
        """The molecules as graphs with the pocket's atoms."""
        count, atoms = drawn.elements.shape
        corners = len(self.pocket.positions)
        number = torch.arange(count)
        centre = self.pocket.center.float()
        return Batch(
            (self.pocket.positions.float() - centre).repeat(count, 1),
            self.pocket.features.repeat(count, 1),
            number.repeat_interleave(corners),
            (drawn.positions - centre).flatten(0, 1),
            type_numbers()[drawn.elements].flatten(),
            number.repeat_interleave(atoms),
        )


def type_numbers() -> Tensor:
    """The model's atom type of each element of the training file."""
    known = [kind.atomic_number for kind in MODES[MODE]]
    return torch.tensor([known.index(number) for number in ATOMIC_NUMBERS])


def demonstration_pocket() -> tuple[Pocket, Pocket, Tensor]:
    """The whole pocket of the embedded receptor, the four atoms that stand for it, and the site (3,)."""
    target = default_target()
    whole = Pocket.from_file(target.receptor, target.ligand)
    site = torch.from_numpy(heavy_positions(target.ligand).mean(axis=0))
    return whole, toy_pocket(whole, site), site


def in_pocket(conformers: Conformers, whole: Pocket, site: Tensor, seed: int) -> Conformers:
    """The conformers where they lie in the pocket."""
    generator = torch.Generator().manual_seed(seed)
    groups = [
        group._replace(positions=placed(group.positions, whole, site, generator))
        for group in conformers.groups
    ]
    return Conformers(groups, conformers.descriptors)


def train(options: argparse.Namespace) -> None:
    """Run or continue a training."""
    schedule = loop.begin(options)
    whole, pocket, site = demonstration_pocket()
    molecules = in_pocket(Conformers.read(options.data), whole, site, options.seed)
    config = TargetDiffConfig(
        hidden_dim=options.width,
        num_layers=options.layers,
        n_heads=options.heads,
        ligand_atom_mode=MODE,
    )
    network = TargetDiffNetwork(config)
    loss = PocketLoss(network, molecules, pocket, options.batch)

    def save(average: nn.Module) -> None:
        TargetDiffModel(average).save(options.out)  # type: ignore[arg-type]

    loop.train(network, loss, schedule, options.out, save)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = loop.arguments(
        __doc__.splitlines()[0], steps=4_000, batch=32, rate=1e-3, memory=0.999
    )
    parser.add_argument("--width", type=int, default=64, help="of an atom's state")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    return parser


if __name__ == "__main__":
    train(parser().parse_args())
