"""The small models that this package ships: a Stable Diffusion pipeline and a CLIP of the scenes."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"
SHIPPED_PIPELINE = MODELS / "scenes"
SHIPPED_CLIP = MODELS / "scenes-clip"

#: Guidance that suits the shipped pipeline; diffusers' own default of 7.5 is too much for it.
GUIDANCE = 2.5
#: The name that stands for the shipped models where a folder or hub id is asked for.
SCENES = "scenes"


def pipeline_source(name: str) -> str:
    """The folder or hub id of a pipeline, the shipped one's for "scenes"."""
    return str(SHIPPED_PIPELINE) if name == SCENES else name


def clip_source(name: str) -> str:
    """The folder or hub id of a CLIP, the shipped one's for "scenes"."""
    return str(SHIPPED_CLIP) if name == SCENES else name
