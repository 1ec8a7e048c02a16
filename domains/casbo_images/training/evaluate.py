"""Measure the trained models on what they were not trained on.

    python -m casbo_images.training.evaluate

Prints one JSON object: how well CLIP finds the caption of a picture and the picture of a caption
among others, and how often the pipeline draws what a prompt says, by the detector. Captions and
pictures have combinations of attributes that are held out from training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..rollout import DiffusersRollout
from ..scenes.caption import ATTRIBUTES, Description
from ..scenes.detector import Detection, detect
from ..scenes.scene import SHAPES, Scene
from ..scores import ClipEmbedding
from ..shipped import GUIDANCE, SHIPPED_CLIP, SHIPPED_PIPELINE
from .dataset import Pictures


def described(pictures: Pictures) -> tuple[list[Scene], list[Image.Image]]:
    """Scenes that words say all about, one for each caption, and their pictures."""
    rows: dict[str, int] = {}
    for row, scene in enumerate(pictures.scenes):
        whole = Description.of(scene)
        if whole.shape and whole.colour and scene.fill == "plain":
            rows.setdefault(whole.text(), row)
    pixels = pictures.pixels.movedim(1, -1).numpy()
    images = [Image.fromarray(pixels[row]) for row in rows.values()]
    return [pictures.scenes[row] for row in rows.values()], images


def retrieval(
    model: Path, scenes: Sequence[Scene], images: Sequence[Image.Image]
) -> dict[str, Any]:
    """How often the right one of all captions is nearest to a picture, and the other way round."""
    embedding = ClipEmbedding(model, batch=128)
    captions = [Description.of(scene).text() for scene in scenes]
    similarity = embedding.images(list(images)) @ embedding.texts(captions).T
    right = torch.arange(len(scenes))
    return {
        "captions": len(captions),
        "caption_of_picture": _share(similarity.argmax(1) == right),
        "picture_of_caption": _share(similarity.argmax(0) == right),
    }


def confirmed(model: Path, scenes: Sequence[Scene], shared: dict[str, Any]) -> dict[str, Any]:
    """Shares of pictures whose attributes the detector confirms for their prompt."""
    first = DiffusersRollout.from_pretrained(model, "a shape", **shared)
    generator = torch.Generator().manual_seed(0)
    found: list[tuple[Description, Detection]] = []
    for scene in scenes:
        wanted = Description.of(scene)
        rollout = DiffusersRollout(first.pipe, wanted.text(), **shared)
        noise = torch.randn(1, *rollout.shape, generator=generator)
        found.append((wanted, detect(rollout(noise).samples[0])))
    problems = Counter(d.problem for _, d in found if d.problem is not None)
    return {
        "prompts": len(found),
        "valid": float(np.mean([d.valid for _, d in found])),
        "whole_caption": float(np.mean([d.agreement(w) == 1 for w, d in found])),
        **{name: _right(found, name) for name in ATTRIBUTES},
        "problems": dict(problems.most_common(3)),
    }


def vague(model: Path, count: int, shared: dict[str, Any]) -> dict[str, Any]:
    """What "a shape" gives: validity and how evenly shapes come."""
    rollout = DiffusersRollout.from_pretrained(model, "a shape", **shared)
    noise = torch.randn(count, *rollout.shape, generator=torch.Generator().manual_seed(1))
    found = [detect(image) for image in rollout(noise).samples]
    shapes = Counter(d.scene.shape for d in found if d.scene is not None)
    return {
        "pictures": count,
        "valid": float(np.mean([d.valid for d in found])),
        "shapes": {shape: shapes[shape] for shape in (*SHAPES, *(set(shapes) - set(SHAPES)))},
    }


def _right(found: Sequence[tuple[Description, Detection]], name: str) -> float:
    """Of valid pictures whose prompt states an attribute, the share that has it."""
    stated = [(w, d.scene) for w, d in found if d.scene is not None and name in w.stated()]
    right = [getattr(scene, name) == getattr(w, name) for w, scene in stated]
    return float(np.mean(right)) if right else float("nan")


def _share(right: torch.Tensor) -> float:
    return float(right.float().mean())


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", type=Path, default=SHIPPED_PIPELINE)
    parser.add_argument("--clip", type=Path, default=SHIPPED_CLIP)
    parser.add_argument("--captions", type=int, default=1000, help="pictures drawn for retrieval")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--scheduler")
    options = parser.parse_args()
    scenes, images = described(Pictures.drawn(options.captions, held_out=True))
    shared = {
        "steps": options.steps,
        "scheduler": options.scheduler,
        "guidance_scale": options.guidance,
    }
    report = {
        "clip": retrieval(options.clip, scenes, images),
        "pipeline": confirmed(options.pipeline, scenes[: options.prompts], shared),
        "vague": vague(options.pipeline, options.prompts, shared),
    }
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
