"""The options of an image run: from the command line, a TOML file, or a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypedDict, get_type_hints

from casbo.errors import CasboError
from casbo.options import RunOptions
from casbo.settings import merged

from .errors import ImageError
from .shipped import SCENES

#: What the command line spends, and the seed it takes, where nothing else is asked for.
QUERIES, SEED = 640, 1
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
        url: Of a scoring service, for the http score; ``$NAME`` stands for an environment
            variable, so that no key is written down.
        header: Headers sent to that service, as "NAME: VALUE", with ``$NAME`` likewise.
        question, vlm, vlm_url: What the vlm score asks which model, and where.
        heldout: A score that is reported only, like those of ``score``; None takes the scenes'
            detector with the shipped pipeline and nothing else elsewhere.
        heldout_clip: Another clip model, for ``heldout="clip"``.
        steps, guidance_scale, scheduler, scheduler_options, height, width, microbatch, steered:
            As for `DiffusersRollout`.
        dtype: "float32", "float16" or "bfloat16"; None takes float16 on CUDA, else float32.
        device, offload: As for `load_pipeline`; the device is that of CLIP too.
        image, mask: Picture files for image-to-image and inpainting.
        strength: How much of the picture is replaced, from 0 to 1.
        space: "low_frequencies" or "per_step".
        coefficients, scale: Of the low frequencies; None takes their defaults.
        score_steps: Steps whose predicted clean pictures are scored as well.
        gallery: Candidates of every iteration whose pictures the report shows.
    """

    error: ClassVar[type[CasboError]] = ImageError

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
    header: tuple[str, ...] = ()
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


class Running(TypedDict, total=False):
    """What a run may spend, as for `casbo.steer`; none of it changes what the run is built from."""

    queries: int
    population: int | None
    seed: int
    workers: int
    deadline: float | None


class Settings(NamedTuple):
    """All that is set for a run: its folder, what it is built from, what it may spend."""

    out: str
    options: ImageOptions
    running: Running


#: Files, and models that may be folders: written down so that another place can go on with them.
FILES = ("target_image", "aesthetic_head", "image", "mask")
MODELS = ("model", "clip", "heldout_clip")


def read_settings(stated: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of a run: those stated, then those of a file, then the defaults.

    Arguments:
        stated: Settings by name.
        config: A TOML file of others; its paths count from where the program runs.

    Raises:
        ImageError: When the file cannot be read, or a setting is unknown, missing or of another
            type.
    """
    hints = get_type_hints(ImageOptions)
    built_from = {option.name: hints[option.name] for option in fields(ImageOptions)}
    known = {"out": str, **built_from, **get_type_hints(Running)}
    values = merged(stated, config, known, ImageError)
    for name in ("out", "prompt"):
        if not values.get(name):
            raise ImageError(f"Expected --{name}, or {name} in the --config file; got none.")
    running: Running = {"queries": QUERIES, "seed": SEED}
    for name in Running.__annotations__:
        if name in values:
            running[name] = values.pop(name)  # type: ignore[literal-required]
    out = values.pop("out")
    return Settings(out, ImageOptions.from_json(_with_full_paths(values)), running)


def _with_full_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with files, and models that are folders, by their full paths."""
    full = dict(values)
    for name in FILES + MODELS:
        path = Path(os.path.expanduser(values.get(name) or ""))  # never raises
        folder = name in MODELS and values.get(name) != SCENES and path.is_dir()
        if values.get(name) and (name in FILES or folder):
            full[name] = str(path.absolute())
    return full
