"""The options of an image run: from the command line, a TOML file, or a run folder."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from casbo.options import RunOptions

from .errors import ImageError
from .shipped import SCENES

#: Candidates of every iteration whose pictures the report shows.
GALLERY = 8


@dataclass(frozen=True)
class ImageOptions(RunOptions):
    """Everything that an image run is built from, as JSON values.

    Arguments:
        model: A pipeline's folder or hub id; "scenes" is the shipped one.
        prompt, negative_prompt: What to draw, and what not.
        score: Scores as NAME or NAME=WEIGHT; names are those of `scoring.SCORES`.
        direction: "minimize" or "maximize"; None takes a single score's own.
        target: The text that the clip score compares pictures with.
        target_image: A picture to compare with instead.
        clip: The clip score's model; None takes the shipped one with the shipped pipeline.
        aesthetic_head: The file of an aesthetic predictor's head.
        colour: (red, green, blue) from 0 to 255, for the colour score.
        url: Of a scoring service, for the http score.
        question, vlm, vlm_url: What the vlm score asks which model, and where.
        heldout: A score that is reported only, like those of ``score``; None takes the scenes'
            detector with the shipped pipeline and nothing else elsewhere.
        heldout_clip: Another clip model, for ``heldout="clip"``.
        steps, guidance_scale, scheduler, scheduler_options, height, width, microbatch, steered:
            As for `DiffusersRollout`.
        dtype: "float32", "float16" or "bfloat16"; None takes float16 on CUDA, else float32.
        device, offload: As for `load_pipeline`.
        image, mask: Picture files for image-to-image and inpainting.
        strength: How much of the picture is replaced, from 0 to 1.
        space: "low_frequencies" or "per_step".
        coefficients, scale: Of the low frequencies; None takes their defaults.
        score_steps: Steps whose predicted clean pictures are scored as well.
        gallery: Candidates of every iteration whose pictures the report shows.
    """

    prompt: str
    model: str = SCENES
    negative_prompt: str | None = None
    score: tuple[str, ...] = ("clip",)
    direction: str | None = None
    target: str | None = None
    target_image: str | None = None
    clip: str | None = None
    aesthetic_head: str | None = None
    colour: tuple[int, ...] | None = None
    url: str | None = None
    question: str | None = None
    vlm: str | None = None
    vlm_url: str | None = None
    heldout: str | None = None
    heldout_clip: str | None = None
    steps: int = 20
    guidance_scale: float | None = None
    scheduler: str | None = None
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    height: int | None = None
    width: int | None = None
    microbatch: int = 8
    steered: str = "all"
    dtype: str | None = None
    device: str | None = None
    offload: str = "none"
    image: str | None = None
    mask: str | None = None
    strength: float | None = None
    space: str = "low_frequencies"
    coefficients: int | None = None
    scale: float | None = None
    score_steps: tuple[int, ...] = ()
    gallery: int = GALLERY


def read_config(path: Path, known: set[str]) -> dict[str, Any]:
    """The settings in a TOML file.

    Arguments:
        path: The file.
        known: The settings it may hold.

    Raises:
        ImageError: When it cannot be read, or holds a setting that is none.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(
            f"Expected a TOML file in {path}, reading it failed ({error})."
        ) from error
    unknown = sorted(set(values) - known)
    if unknown:
        raise ImageError(
            f"{path}: no setting is called {', '.join(unknown)}; there are {', '.join(sorted(known))}."
        )
    return values
