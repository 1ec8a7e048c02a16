"""The options of an inversion run, as JSON values."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from casbo.errors import CasboError
from casbo.options import RunOptions

from .errors import InversionError

#: What the command line spends, and the seed it takes.
QUERIES, SEED = 2000, 1


@dataclass(frozen=True)
class InversionOptions(RunOptions):
    """Everything that an inversion run is built from.

    Arguments:
        model: A pipeline's folder or hub id.
        images: A folder of pictures.
        placeholder: The new word.
        published: The published procedure: pycma, unscaled PCA with the mean, no temperature,
            noise afresh for every candidate, the last iteration's best kept.
        init: "attention", "mean", or the word to start from.
        clip: A CLIP's folder or hub id, for attention and for the clip objective.
        vocabulary: A file of words, one a line; None takes the tokenizer's.
        temperature, word_template: Of attention.
        subspace: "pca", "random", or a .npy file.
        coordinates, scale: Of the subspace; None takes the defaults.
        vectors: Vectors of the token.
        objective: "denoising" or "clip".
        common: What has random numbers in common; None is "iteration".
        timesteps, pictures_per_timestep, templates, validation: Of the denoising loss.
        optimizer: "casbo" or "cma"; None is casbo's.
        keep, validate_every, elites: As for `casbo_inversion.keeping.Keeping`.
        prompt, steps, guidance_scale, width, height: Of pictures made.
        microbatch: Forward passes at a time.
        dtype, device: None takes float16 on CUDA where there is one, else float32.
        gallery: Candidates of every iteration whose pictures the report shows.
    """

    error: ClassVar[type[CasboError]] = InversionError

    model: str
    images: str
    placeholder: str = "<thing>"
    published: bool = False
    init: str = "attention"
    clip: str | None = None
    vocabulary: str | None = None
    temperature: float = 0.01
    word_template: str = "{}"
    subspace: str = "pca"
    coordinates: int | None = None
    scale: float | None = None
    vectors: int = 1
    objective: str = "denoising"
    common: str | None = None
    timesteps: int = 4
    pictures_per_timestep: int = 1
    templates: tuple[str, ...] = ()
    validation: int = 32
    optimizer: str | None = None
    keep: str | None = None
    validate_every: int = 5
    elites: int = 0
    prompt: str = "a photo of a {}"
    steps: int = 20
    guidance_scale: float | None = None
    width: int | None = None
    height: int | None = None
    microbatch: int = 16
    dtype: str | None = None
    device: str | None = None
    gallery: int = 0

    def with_full_paths(self) -> Self:
        """The same with files and folders by their full paths, so that another place can go on."""
        files = {"images": _full(self.images)}
        for name in ("model", "clip"):
            value = getattr(self, name)
            if value is not None and Path(os.path.expanduser(value)).is_dir():
                files[name] = _full(value)
        if self.vocabulary is not None:
            files["vocabulary"] = _full(self.vocabulary)
        if self.subspace.endswith(".npy"):
            files["subspace"] = _full(self.subspace)
        return replace(self, **files)  # type: ignore[arg-type]


def _full(path: str) -> str:
    return str(Path(os.path.expanduser(path)).absolute())
