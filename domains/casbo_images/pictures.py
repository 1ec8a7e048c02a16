"""Pictures as files, as data URIs, side by side, and as a digest."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

THUMBNAIL = 256  # largest side of a picture in a report, in pixels
GAP = 2  # pixels between the pictures of a grid
FIELDS = 8  # of a picture's colour layout, along each side
SAVED_GRID = 64  # pictures in grid.png at most


def read_image(path: str | Path) -> Image:
    """An RGB picture from a file, turned upright, what is transparent on white.

    Raises:
        ImageError: When it is missing or no picture.
    """
    from PIL import Image as Images
    from PIL import ImageOps

    from .scores.candidates import rgb

    try:
        with Images.open(path) as image:
            return rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError, Images.DecompressionBombError) as error:
        raise ImageError(f"Expected a picture in {path}, reading it failed ({error}).") from error


def png_bytes(image: Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def image_digest(image: Image) -> str:
    """What tells a picture from any other: its size and a hash of its colours."""
    colours = image.convert("RGB")
    digest = hashlib.sha256(colours.tobytes()).hexdigest()[:16]
    return f"{colours.width}x{colours.height} sha256:{digest}"


def colour_layout(image: Image) -> NDArray[np.float64]:
    """The mean colour of each of 8 x 8 fields, from 0 to 1, with shape (8, 8, 3)."""
    from PIL.Image import Resampling

    fields = image.convert("RGB").resize((FIELDS, FIELDS), Resampling.BOX)
    return np.asarray(fields, dtype=np.float64) / 255


def image_markup(image: Image) -> str:
    """A picture as ``<img src="data:...">``, made smaller where it is large."""
    shown = image.convert("RGB")
    kind = "png"
    if max(shown.size) > THUMBNAIL:
        shown.thumbnail((THUMBNAIL, THUMBNAIL))
        kind = "jpeg"
    stream = io.BytesIO()
    shown.save(stream, format=kind.upper(), **({"quality": 88} if kind == "jpeg" else {}))
    return f'<img src="data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}">'


def grid(images: Sequence[Image], columns: int | None = None, scale: int = 1) -> Image:
    """Pictures of one size side by side.

    Arguments:
        images: At least one, all of the first one's size.
        columns: By default as many as make the grid about square.
        scale: Enlarges each picture by a whole number.
    """
    from PIL import Image as Images

    if not images:
        raise ImageError("Expected at least one picture for a grid, got none.")
    columns = math.ceil(math.sqrt(len(images))) if columns is None else columns
    width, height = (scale * side for side in images[0].size)
    rows = math.ceil(len(images) / columns)
    size = (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    canvas = Images.new("RGB", size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        shown = image.convert("RGB").resize((width, height), Images.Resampling.NEAREST)
        canvas.paste(shown, (column * (width + GAP), row * (height + GAP)))
    return canvas


def save_pictures(
    images: Sequence[Image], scores: Sequence[Mapping[str, float]], folder: Path
) -> list[Path]:
    """Write PNG files by rank, a grid of them and ``scores.json``; returns the paths.

    Arguments:
        images: N pictures, best first.
        scores: Their N scores; what is not finite becomes null.
        folder: Made if it is not there.
    """
    from casbo.atomic import write_atomically
    from casbo.rollout import to_json

    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{rank:03d}.png": png_bytes(image) for rank, image in enumerate(images)}
    rows = [
        {"file": name, "scores": to_json(row)} for name, row in zip(files, scores, strict=True)
    ]
    if len(images) > 1:
        files["grid.png"] = png_bytes(grid(images[:SAVED_GRID]))
    files["scores.json"] = (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode()
    for name, contents in files.items():
        write_atomically(folder / name, contents)
    return [folder / name for name in files]


def describe_input(value: object) -> Any:  # noqa: ANN401
    """An input of a pipeline as JSON values; pictures by digest, anything else by its text."""
    from PIL.Image import Image as PilImage

    from casbo.run_config import describe

    if isinstance(value, PilImage):
        return image_digest(value)
    if isinstance(value, Mapping):
        return {str(name): describe_input(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe_input(entry) for entry in value]
    return describe(value)
