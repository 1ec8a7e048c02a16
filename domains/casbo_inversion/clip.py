"""CLIP, for the words nearest to pictures and for the likeness of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from casbo.errors import require
from casbo.scorer import exception_message

from .errors import InversionError

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 64


class Clip:
    """Unit vectors of pictures and texts.

    Arguments:
        source: A folder or hub id of a transformers `CLIPModel`, with its tokenizer and image
            processor. It is loaded when it is first needed.
        device: None takes CUDA where there is one.
    """

    def __init__(self, source: str | Path, device: str | None = None) -> None:
        self.source = str(source)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")

    @torch.inference_mode()
    def images(self, images: Sequence[Image]) -> Tensor:
        """N pictures -> unit vectors with shape (N, F), float32 on the CPU.

        Raises:
            InversionError: When the model cannot be loaded.
        """
        model, processor, _ = _loaded(self.source, self.device)
        parts = []
        for first in range(0, len(images), BATCH):
            rows = [image.convert("RGB") for image in images[first : first + BATCH]]
            inputs = processor(images=rows, return_tensors="pt", input_data_format="channels_last")
            parts.append(_unit(model.get_image_features(inputs.pixel_values.to(self.device))))
        return torch.cat(parts)

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """N texts -> unit vectors with shape (N, F), float32 on the CPU.

        Raises:
            InversionError: When the model cannot be loaded.
        """
        model, _, tokenizer = _loaded(self.source, self.device)
        length = int(model.config.text_config.max_position_embeddings)
        parts = []
        for first in range(0, len(texts), BATCH):
            inputs = tokenizer(
                list(texts[first : first + BATCH]),
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            parts.append(_unit(model.get_text_features(inputs.input_ids.to(self.device))))
        return torch.cat(parts)

    def prepare(self) -> None:
        """Load the model.

        Raises:
            InversionError: When it cannot be loaded or is no CLIP.
        """
        _loaded(self.source, self.device)


@cache
def _loaded(source: str, device: str) -> tuple[Any, Any, Any]:
    """The model in float32, its image processor and its tokenizer."""
    transformers = require("transformers", "inversion")
    if source.startswith((".", "/", "~")) and not Path(source).expanduser().is_dir():
        raise InversionError(f"Expected a folder with a CLIPModel in {source!r}, there is none.")
    try:
        model, found = transformers.CLIPModel.from_pretrained(source, output_loading_info=True)
        # Pillow's resizing with and without torchvision: the same numbers on every machine
        processor = transformers.AutoImageProcessor.from_pretrained(source, backend="pil")
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    except Exception as error:
        raise InversionError(
            f"Expected a transformers CLIPModel with tokenizer and image processor in {source!r}, "
            f"loading it failed ({exception_message(error):.300})."
        ) from error
    if found["missing_keys"]:  # transformers would go on with random weights in their place
        raise InversionError(
            f"Expected a CLIPModel in {source!r}, its weights lack {sorted(found['missing_keys'])[:3]}."
        )
    return model.eval().to(device=device, dtype=torch.float32), processor, tokenizer


def _unit(output: Any) -> Tensor:  # noqa: ANN401
    """Features with length 1; transformers 5 wraps them in an output object."""
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return torch.nn.functional.normalize(vectors.float().cpu(), dim=-1)
