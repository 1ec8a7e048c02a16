"""Steer Stable Diffusion 1.5 with CLIP, on a GPU.

    python docs/stable_diffusion.py --out runs/long-hair

Loads pipeline and CLIP from the hub, or from folders named by --model and --clip; SDXL, SD3 and
Flux work the same way. Interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import casbo
from casbo_images import ClipScore, DiffusersRollout, Diversity


def main() -> None:
    """Parse the command line and steer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="stable-diffusion-v1-5/stable-diffusion-v1-5")
    parser.add_argument("--clip", default="openai/clip-vit-large-patch14")
    parser.add_argument("--prompt", default="a photo of a man")
    parser.add_argument("--target", default="a close-up of a man with long hair")
    parser.add_argument("--out", type=Path, default=Path("runs/long-hair"))
    parser.add_argument("--queries", type=int, default=1600)
    parser.add_argument("--population", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    rollout = DiffusersRollout.from_pretrained(
        options.model,
        options.prompt,
        steps=options.steps,
        device=options.device,
        dtype=torch.float16 if options.device.startswith("cuda") else torch.float32,
        microbatch=8,
    )
    score = ClipScore(options.target, model=options.clip, device=options.device)
    result = casbo.steer(
        rollout,
        score,
        queries=options.queries,
        population=options.population,
        run=options.out,
        monitors={"diversity": Diversity(options.clip, device=options.device)},
        gallery=8,
    )
    result.best.save(options.out / "best.png")
    rollout.export(result.sample(8, seed=1), [{}] * 8, options.out / "fresh")  # no score query
    print(f"best {result.best.score:.4f}; everything is in {options.out}")  # noqa: T201


if __name__ == "__main__":
    main()
