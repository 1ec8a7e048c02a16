"""Train the autoencoder of the small text-to-image model.

    python -m casbo_images.training.autoencoder --out build/vae

Writes an `AutoencoderKL` in diffusers' format whose latents have about unit variance after
`scaling_factor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from casbo import training

from ..scenes.scene import PIXELS
from . import loop
from .dataset import Pictures, batch_rows

CHANNELS = (16, 32, 64, 64)
LATENT_CHANNELS = 6
KL_WEIGHT = 2e-5  # per latent number, against the mean error per colour value
ABSOLUTE_WEIGHT = 0.3  # of the absolute error beside the squared one: crisp edges
SHAPE_WEIGHT = 4.0  # of pixels that differ from the background, beside 1 for all: shapes are small
NORM_GROUPS = 2  # few, so that normalisation leaves colours apart


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: 64 x 64 pixels to 8 x 8 latents."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=NORM_GROUPS,
        sample_size=PIXELS,
    )


@dataclass(frozen=True)
class ReconstructionLoss:
    """Reconstruction error and KL of the latents from N(0, I), for the batch of a step."""

    vae: AutoencoderKL
    pictures: Pictures
    batch: int
    seed: int

    def __call__(self, step: int) -> Tensor:
        """The loss of a step's own batch."""
        rows, random = batch_rows(len(self.pictures.scenes), self.batch, self.seed, step)
        device = self.vae.device
        images = self.pictures.images(rows).to(device, memory_format=torch.channels_last)
        latents = self.vae.encode(images).latent_dist
        drawn = random.standard_normal(latents.mean.shape, np.float32)
        noise = torch.from_numpy(drawn).to(device)
        error = self.vae.decode(latents.mean + latents.std * noise).sample - images
        kl = latents.kl().mean() / latents.mean[0].numel()
        background = images.flatten(2).median(-1).values[..., None, None]
        shape = (images - background).abs().amax(1, keepdim=True).clamp_max(1)
        weighed = (1 + SHAPE_WEIGHT * shape) * (error.square() + ABSOLUTE_WEIGHT * error.abs())
        return weighed.mean() + KL_WEIGHT * kl


@torch.no_grad()
def scaled(vae: AutoencoderKL, pictures: Pictures) -> AutoencoderKL:
    """The autoencoder with the scaling factor that gives its latents unit variance."""
    images = pictures.images(torch.arange(min(512, len(pictures.scenes))))
    latents = vae.encode(images.to(vae.device)).latent_dist.mean
    vae.register_to_config(scaling_factor=round(float(1 / latents.std()), 4))
    return vae


def main() -> None:
    """Parse the command line and train."""
    parser = loop.arguments(__doc__.splitlines()[0], steps=4000, batch=16, rate=1.5e-3)
    options, schedule = loop.begin(parser)
    pictures = Pictures.drawn(options.scenes)
    vae = new_autoencoder().to(options.device, memory_format=torch.channels_last)
    loss = ReconstructionLoss(vae, pictures, options.batch, options.seed)
    training.train(vae, loss, schedule, options.out, partial(_save, pictures, options.out))


def _save(pictures: Pictures, folder: Path, average: nn.Module) -> None:
    scaled(average, pictures).save_pretrained(folder)


if __name__ == "__main__":
    main()
