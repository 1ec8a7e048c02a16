"""Pictures: the examples to learn from, and grids of pictures made."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casbo.errors import require

from .errors import InversionError

if TYPE_CHECKING:
    from PIL.Image import Image

GAP = 2  # pixels between the pictures of a grid
LARGEST_MARKUP = 768  # pixels along a grid in a report


def read_pictures(images: str | Path | Sequence[Image | str | Path]) -> list[Image]:
    """RGB pictures from a folder, a file, or a list of files and PIL images.

    Files of a folder are taken in the order of their names; those with the ending of no picture
    format are left out.

    Raises:
        InversionError: When there is no picture, or one cannot be read.
    """
    listed: Sequence[Any] = _files(images) if isinstance(images, (str, Path)) else list(images)
    if not listed:
        raise InversionError("Expected at least one picture to learn from, got none.")
    return [_read(image) for image in listed]


def _files(place: str | Path) -> list[Path]:
    path = Path(place).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InversionError(f"Expected a folder of pictures in {place}, there is none.")
    endings = require("PIL.Image", "inversion").registered_extensions()
    found = sorted(f for f in path.iterdir() if f.suffix.lower() in endings and f.is_file())
    if not found:
        raise InversionError(
            f"Expected pictures in the folder {place}, got none: put 3 to 10 PNG or JPEG files of "
            "the thing there."
        )
    return found


def _read(image: Any) -> Image:  # noqa: ANN401
    """One picture upright, in RGB, what is transparent on white."""
    pil, ops = require("PIL.Image", "inversion"), require("PIL.ImageOps", "inversion")
    opened = image
    try:
        if isinstance(image, (str, Path)):
            opened = ops.exif_transpose(pil.open(image))
        if not isinstance(opened, pil.Image):
            raise InversionError(f"Expected a picture, got {type(image).__name__}.")
        if "A" in opened.getbands() or "transparency" in opened.info:
            white = pil.new("RGBA", opened.size, "white")
            opened = pil.alpha_composite(white, opened.convert("RGBA"))
        return opened.convert("RGB")  # type: ignore[no-any-return]
    except InversionError:
        raise
    except (OSError, ValueError, SyntaxError, pil.DecompressionBombError) as error:
        raise InversionError(
            f"Expected a picture in {image}, reading it failed ({error})."
        ) from error


def fitted(image: Image, side: tuple[int, int]) -> Image:
    """The picture's middle, resized to (width, height)."""
    ops, pil = require("PIL.ImageOps", "inversion"), require("PIL.Image", "inversion")
    if image.size == side:
        return image
    return ops.fit(image, side, method=pil.Resampling.BICUBIC)  # type: ignore[no-any-return]


def image_digest(image: Image) -> str:
    """What tells a picture from any other: its size and a hash of its colours."""
    digest = hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:16]
    return f"{image.width}x{image.height} sha256:{digest}"


def grid(images: Sequence[Image], columns: int) -> Image:
    """Pictures of one size, row by row."""
    pil = require("PIL.Image", "inversion")
    width, height = images[0].size
    rows = math.ceil(len(images) / columns)
    size = (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    canvas = pil.new("RGB", size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        shown = image.convert("RGB").resize((width, height))
        canvas.paste(shown, (column * (width + GAP), row * (height + GAP)))
    return canvas  # type: ignore[no-any-return]


def png_bytes(image: Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def markup(image: Image) -> str:
    """A picture as ``<img src="data:...">``, made smaller where it is large."""
    shown = image.copy()
    shown.thumbnail((LARGEST_MARKUP, LARGEST_MARKUP))
    encoded = base64.b64encode(png_bytes(shown)).decode()
    return f'<img src="data:image/png;base64,{encoded}">'
