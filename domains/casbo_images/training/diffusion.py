"""Train the small text-to-image model: text encoder and denoiser together, on a trained autoencoder.

    python -m casbo_images.training.diffusion --autoencoder build/vae --out build/pipeline

Writes a `StableDiffusionPipeline` in diffusers' format, the large weights in half
precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from casbo import training

from ..scenes.scene import PIXELS
from . import loop
from .dataset import Pictures, batch_rows
from .tokenizer import new_tokenizer

CHANNELS = (64, 128)
TEXT_WIDTH = 128
TIMESTEPS = 1000
EMPTY_SHARE = 0.1  # of captions left empty, for guidance
LARGEST_FILE = "9MB"


class TextToImage(nn.Module):
    """What is trained: a text encoder and a denoiser that reads it."""

    def __init__(self, tokenizer: CLIPTokenizer, latent_channels: int, latent_size: int) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=4 * TEXT_WIDTH,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=tokenizer.model_max_length,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=latent_size,
            in_channels=latent_channels,
            out_channels=latent_channels,
            block_out_channels=CHANNELS,
            down_block_types=("CrossAttnDownBlock2D",) * len(CHANNELS),
            up_block_types=("CrossAttnUpBlock2D",) * len(CHANNELS),
            layers_per_block=1,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
            norm_num_groups=16,
        )


def new_scheduler() -> DDIMScheduler:
    """The noise schedule: no picture is left at its end, so that backgrounds are free."""
    return DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="linear",
        beta_start=1e-4,
        beta_end=0.02,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing="trailing",
    )


class Latents:
    """The pictures as the autoencoder sees them, encoded once."""

    def __init__(self, vae: AutoencoderKL, pictures: Pictures, device: str) -> None:
        count = len(pictures.scenes)
        means, stds = [], []
        with torch.inference_mode():
            for rows in torch.arange(count).split(256):
                images = pictures.images(rows).to(device, memory_format=torch.channels_last)
                found = vae.encode(images).latent_dist
                means.append(found.mean.cpu())
                stds.append(found.std.cpu())
        factor = vae.config.scaling_factor
        self.means, self.stds = factor * torch.cat(means), factor * torch.cat(stds)

    def batch(self, rows: Tensor, noise: Tensor) -> Tensor:
        """Latents drawn from the autoencoder's posterior, with shape (B, C, h, w)."""
        return self.means[rows] + self.stds[rows] * noise


@dataclass(frozen=True)
class VelocityLoss:
    """The error of the predicted velocity, for the batch of a step."""

    model: TextToImage
    tokenizer: CLIPTokenizer
    pictures: Pictures
    latents: Latents
    batch: int
    seed: int
    device: str
    scheduler: DDIMScheduler = field(default_factory=new_scheduler)

    def __call__(self, step: int) -> Tensor:
        """The loss of a step's own batch."""
        rows, random = batch_rows(len(self.pictures.scenes), self.batch, self.seed, step)
        texts = [
            "" if random.random() < EMPTY_SHARE else description.text()
            for description in self.pictures.descriptions(rows, random)
        ]
        shape = (2, *self.latents.means[rows].shape)
        posterior, noise = torch.from_numpy(random.standard_normal(shape, np.float32))
        clean, noise = self.latents.batch(rows, posterior).to(self.device), noise.to(self.device)
        # one timestep from each of `batch` equal parts: a steadier loss than independent ones
        spread = (np.arange(self.batch) + random.random(self.batch)) / self.batch * TIMESTEPS
        times = torch.from_numpy(random.permutation(spread).astype(np.int64)).to(self.device)
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        context = self.model.text_encoder(tokens.to(self.device)).last_hidden_state
        noisy = self.scheduler.add_noise(clean, noise, times)
        predicted = self.model.unet(
            noisy.to(memory_format=torch.channels_last), times, context
        ).sample
        velocity = self.scheduler.get_velocity(clean, noise, times)
        return (predicted - velocity).square().mean()


def main() -> None:
    """Parse the command line and train."""
    parser = loop.arguments(__doc__.splitlines()[0], steps=7500, batch=64, rate=1e-3)
    parser.add_argument("--autoencoder", type=Path, required=True)
    options, schedule = loop.begin(parser)
    pictures, tokenizer = Pictures.drawn(options.scenes), new_tokenizer()
    vae = AutoencoderKL.from_pretrained(options.autoencoder).to(options.device).eval()
    latents = Latents(vae.to(memory_format=torch.channels_last), pictures, options.device)
    loop.log.info("encoded %d pictures", len(pictures.scenes))
    model = TextToImage(tokenizer, vae.config.latent_channels, latents.means.shape[-1])
    model = model.to(options.device, memory_format=torch.channels_last)
    loss = VelocityLoss(
        model, tokenizer, pictures, latents, options.batch, options.seed, options.device
    )
    training.train(model, loss, schedule, options.out, partial(_save, tokenizer, vae, options.out))


def _save(tokenizer: CLIPTokenizer, vae: AutoencoderKL, folder: Path, model: nn.Module) -> None:
    """Write the pipeline with its weights in half precision."""
    assert isinstance(model, TextToImage)
    assert vae.config.sample_size == PIXELS
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    halves = (pipeline.unet, pipeline.vae)
    whole = [{name: value.clone() for name, value in part.state_dict().items()} for part in halves]
    for part in halves:
        part.half()
    pipeline.save_pretrained(folder, max_shard_size=LARGEST_FILE)
    for part, state in zip(halves, whole, strict=True):  # the training goes on as it was
        part.float().load_state_dict(state)


if __name__ == "__main__":
    main()
