"""Pictures of nothing in the world: what a score must not mistake for a scene.

Steering finds what a score likes, and a CLIP that has only seen scenes likes pictures that hold
none. These are the ways in which pictures of a diffusion model go wrong, made from scenes: nothing
drawn, half faded, partly erased, two scenes blended, or latents off their distribution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .dataset import Pictures

CHUNK = 256  # pictures decoded at once
FADED = (0.1, 0.45)  # how much of a faded shape is left
ERASED = (0.35, 0.7)  # of a scene's rows or columns
BLEND = (0.3, 0.7)  # of the latents of one scene, the rest another's
NOISE = (0.5, 1.2)  # standard deviations of noise in latents of unit variance


def reconstructed(vae: AutoencoderKL, pictures: Pictures) -> Tensor:
    """The pictures as the autoencoder gives them back, as bytes with shape (N, 3, H, W)."""
    return _decoded(vae, pictures, torch.arange(len(pictures.scenes)), lambda latents: latents)


def broken(vae: AutoencoderKL, pictures: Pictures, count: int, seed: int) -> Tensor:
    """About ``count`` broken pictures, as many of each kind, as bytes with shape (N, 3, H, W)."""
    random = np.random.default_rng((seed, 4))
    kinds = 5
    rows = torch.from_numpy(random.choice(len(pictures.scenes), (kinds, count // kinds)))
    pixels = pictures.pixels[rows[:3].flatten()].float()
    empty, faded, erased = pixels.chunk(3)
    background = pixels.flatten(2).median(-1).values[..., None, None]
    nothing, behind, beneath = (part.expand_as(empty) for part in background.chunk(3))
    left = torch.from_numpy(random.uniform(*FADED, (len(faded), 1, 1, 1))).float()
    kept = _kept(len(erased), erased.shape[-1], random)
    drawn = [nothing, behind + left * (faded - behind), torch.where(kept, erased, beneath)]

    def blended(latents: Tensor) -> Tensor:
        share = _uniform(BLEND, latents, random)
        return share * latents + (1 - share) * latents.roll(1, 0)

    def noisy(latents: Tensor) -> Tensor:
        size = _uniform(NOISE, latents, random)
        noise = torch.from_numpy(random.standard_normal(latents.shape, np.float32))
        return (latents + size * noise) / (1 + size.square()).sqrt()

    decoded = [_decoded(vae, pictures, rows[3], blended), _decoded(vae, pictures, rows[4], noisy)]
    return torch.cat([*(part.round().to(torch.uint8) for part in drawn), *decoded])


def _kept(count: int, pixels: int, random: np.random.Generator) -> Tensor:
    """Masks (count, 1, pixels, pixels) of what is left after one side of a picture is erased."""
    places = np.arange(pixels)
    edge = random.uniform(*ERASED, (count, 1)) * pixels
    bands = np.where(random.random((count, 1)) < 0.5, places < edge, places >= pixels - edge)
    across = random.random((count, 1, 1)) < 0.5
    masks = np.where(across, bands[:, :, None], bands[:, None, :])
    return ~torch.from_numpy(np.broadcast_to(masks, (count, pixels, pixels)).copy())[:, None]


def _uniform(bounds: tuple[float, float], like: Tensor, random: np.random.Generator) -> Tensor:
    return torch.from_numpy(random.uniform(*bounds, (len(like), 1, 1, 1))).float()


@torch.inference_mode()
def _decoded(
    vae: AutoencoderKL, pictures: Pictures, rows: Tensor, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Pictures encoded, their unit-variance latents changed, and decoded to bytes."""
    factor, found = vae.config.scaling_factor, []
    for chunk in rows.split(CHUNK):
        images = pictures.images(chunk).to(vae.device, memory_format=torch.channels_last)
        latents = factor * vae.encode(images).latent_dist.mean
        images = vae.decode(change(latents.cpu()).to(vae.device) / factor).sample
        found.append(((images.cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(found)
