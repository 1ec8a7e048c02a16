"""Claim: at Stable Diffusion's size the engine's share of the time is small.

    python benchmarks/stable_diffusion_size.py --device cuda --dtype bfloat16

A Stable Diffusion 1.5 of full size with random weights (nothing is downloaded; text encoder and
autoencoder small, for they are called once a picture), 50 steps, micro-batches of 8, steered by a
score that costs nothing, with a low-rank covariance over all noise of every step. Prints seconds an
iteration spent in the pipeline and outside it, and peak memory. ``--channels 32`` makes the network
a hundred times smaller, to try the script on a CPU.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from casbo import PerStep
from casbo.steering import Steering
from casbo_images import DiffusersRollout
from casbo_images.training.tokenizer import new_tokenizer

TEXT_WIDTH = 768


def pipeline(channels: int, latent: int) -> StableDiffusionPipeline:
    """Stable Diffusion 1.5's network for `channels` = 320, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # torch's layers draw their weights from the global generator
        return _pipeline(channels, latent)


def _pipeline(channels: int, latent: int) -> StableDiffusionPipeline:
    tokenizer = new_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=TEXT_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=12,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=latent,
        block_out_channels=(channels, 2 * channels, 4 * channels, 4 * channels),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32,) * 4,
        sample_size=8 * latent,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


class Timed(DiffusersRollout):
    """A rollout that adds up the seconds spent in its pipeline."""

    seconds = 0.0

    def _call(self, count: int, **latents: torch.Tensor) -> list:
        begun = time.perf_counter()
        images = super()._call(count, **latents)
        self.seconds += time.perf_counter() - begun
        return images


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--channels", type=int, default=320)
    parser.add_argument("--latent", type=int, default=64, help="side of a latent")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--population", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--space", default="per_step", choices=("per_step", "low_frequencies"))
    options = parser.parse_args()

    pipe = pipeline(options.channels, options.latent)
    pipe = pipe.to(options.device, getattr(torch, options.dtype))
    rollout = Timed(pipe, "a shape", steps=options.steps, microbatch=8)
    K, D = rollout.shape
    with Steering(
        rollout,
        lambda images: [float(np.asarray(image).mean()) for image in images],
        queries=options.population * options.iterations,
        population=options.population,
        space=PerStep() if options.space == "per_step" else None,
        dtype=torch.float32,
        device=options.device,
        progress=False,
    ) as steering:
        next(steering)  # the first iteration warms up
        rollout.seconds, begun = 0.0, time.perf_counter()
        for _ in steering:
            pass
        whole = time.perf_counter() - begun
    count = options.iterations - 1
    print(f"K = {K}, D = {D}, N = {options.population}, {options.device}, {options.dtype}")
    print(f"{rollout.seconds / count:.2f} s an iteration in the pipeline")
    print(f"{(whole - rollout.seconds) / count:.2f} s outside, {1 - rollout.seconds / whole:.1%}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
    if options.device.startswith("cuda"):
        print(f"peak GPU memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main()
