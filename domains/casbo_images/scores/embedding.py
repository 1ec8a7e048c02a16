"""CLIP and its relatives: pictures and texts as unit vectors of one space.

Source: *Learning Transferable Visual Models From Natural Language Supervision*,
https://arxiv.org/abs/2103.00020; *Sigmoid Loss for Language Image Pre-Training* (SigLIP),
https://arxiv.org/abs/2303.15343. Everything about the models is transformers'.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from casbo.errors import CasboError, require
from casbo.scorer import exception_message

from ..errors import ImageError
from .candidates import rgb

if TYPE_CHECKING:
    from PIL.Image import Image

#: CLIP ViT-L/14, the model that aesthetic predictors were trained on.
CLIP_L14 = "openai/clip-vit-large-patch14"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class ClipEmbedding:
    """Unit vectors of pictures and texts from a CLIP, SigLIP or SigLIP2 model.

    Nothing is loaded before it is needed, and each (model, device, dtype) once per process, for all
    that use it. The object itself holds settings only: it can be pickled at any time.

    Arguments:
        model: A hub id, or a folder written by ``save_pretrained``.
        processor: Where tokenizer and image processor come from when not from the model
            (PickScore: "laion/CLIP-ViT-H-14-laion2B-s32B-b79K").
        device: A torch device; None takes "cuda" where there is one, else "cpu".
        dtype: "float32" (None), "float16" or "bfloat16"; the short ones round differently in
            batches of different size.
        batch: How many pictures or texts go through the model at once.

    Raises:
        ImageError: On a folder that does not exist, or an option that cannot be used.
    """

    def __init__(
        self,
        model: str | Path = CLIP_L14,
        *,
        processor: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        batch: int = 16,
    ) -> None:
        if batch < 1:
            raise ImageError(f"Expected batch >= 1 pictures at once, got {batch}.")
        self.source = _source(model)
        self.processor = self.source if processor is None else _source(processor)
        self.device = None if device is None else _device(device)
        self.dtype = _dtype(dtype)
        self.batch = batch

    def prepare(self) -> None:
        """Load the model and its image processor in this process.

        Raises:
            ImageError: When they cannot be loaded, or the model is no relative of CLIP.
        """
        self._model()
        _image_processor(self.processor)

    def images(self, images: Sequence[Image]) -> Tensor:
        """N PIL images of any mode -> unit vectors with shape (N, F), float32 on the CPU.

        Raises:
            CandidateFailed: When one of them is no picture.
            ImageError: When the model cannot be loaded.
        """
        blank = require("PIL.Image", "images").new("RGB", (8, 8))
        processor, model = _image_processor(self.processor), self._model()

        def features(pictures: list[Image]) -> Any:  # noqa: ANN401
            # the layout is stated because it cannot be guessed for a picture 1 or 3 pixels high
            inputs = processor(
                images=pictures, return_tensors="pt", input_data_format="channels_last"
            )
            return model.get_image_features(**self._placed(inputs))

        # one row at least goes through the model, for only it knows F
        rows = _batches([rgb(image) for image in images] or [blank], self.batch)
        return torch.cat([_unit(features, row) for row in rows])[: len(images)]

    def texts(self, texts: Sequence[str]) -> Tensor:
        """N texts -> unit vectors with shape (N, F), float32 on the CPU.

        Every text is padded, or cut, to the length that the model was trained with.

        Raises:
            ImageError: When the model cannot be loaded or knows no texts.
        """
        tokenizer, model = _tokenizer(self.processor), self._model()
        if not hasattr(model, "get_text_features"):
            raise ImageError(f"{self.source}: expected a model of pictures and texts. {_FIX}")
        length = int(model.config.text_config.max_position_embeddings)

        def features(row: list[str]) -> Any:  # noqa: ANN401
            inputs = tokenizer(
                row, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            )
            return model.get_text_features(**self._placed(inputs))

        rows = _batches(list(texts) or [""], self.batch)
        return torch.cat([_unit(features, row) for row in rows])[: len(texts)]

    def describe(self) -> dict[str, Any]:
        """What identifies the vectors, as JSON values; a folder by its name and its weights."""
        described = {**_identity(self.source), "dtype": self.dtype}
        if self.processor != self.source:
            described["processor"] = _identity(self.processor)["model"]
        return described

    def _model(self) -> Any:  # noqa: ANN401
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        return _model(self.source, device, self.dtype)

    def _placed(self, inputs: Any) -> dict[str, Any]:  # noqa: ANN401
        """A processor's tensors where the model is, those of numbers in its dtype."""
        model = self._model()
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }


_FIX = (
    "Give the hub id or the folder of a CLIP, SigLIP or SigLIP2 model, written by save_pretrained "
    "together with its tokenizer and image processor."
)


def _batches(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


@torch.no_grad()
def _unit(features: Any, row: list[Any]) -> Tensor:  # noqa: ANN401
    """A row's features with length 1; transformers 5 wraps them in an output object."""
    output = features(row)
    vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return torch.nn.functional.normalize(vectors.float().cpu(), dim=-1)


@functools.cache
def _model(source: str, device: str, dtype: str) -> Any:  # noqa: ANN401
    auto = require("transformers", "images").AutoModel
    with _loading(source, "model"):
        model, found = auto.from_pretrained(
            source, output_loading_info=True, trust_remote_code=False
        )
    if not hasattr(model, "get_image_features"):
        raise ImageError(
            f"{source}: expected a relative of CLIP, got a {type(model).__name__}. {_FIX}"
        )
    if found["missing_keys"]:  # transformers would go on with random weights in their place
        raise ImageError(
            f"{source}: the weights {sorted(found['missing_keys'])[:3]} of a "
            f"{type(model).__name__} are missing. {_FIX}"
        )
    with _loading(source, "model"):
        return model.eval().to(device=device, dtype=DTYPES[dtype])


@functools.cache
def _image_processor(source: str) -> Any:  # noqa: ANN401
    auto = require("transformers", "images").AutoImageProcessor
    # Pillow's resizing with and without torchvision: the same numbers on every machine
    named = importlib.util.find_spec("transformers.image_processing_backends") is not None
    backend: dict[str, Any] = {"backend": "pil"} if named else {"use_fast": False}
    with _loading(source, "image processor"):
        return auto.from_pretrained(source, trust_remote_code=False, **backend)


@functools.cache
def _tokenizer(source: str) -> Any:  # noqa: ANN401
    auto = require("transformers", "images").AutoTokenizer
    with _loading(source, "tokenizer"):
        return auto.from_pretrained(source, trust_remote_code=False)


@contextmanager
def _loading(source: str, part: str) -> Iterator[None]:
    """One line in place of whatever a loader raises."""
    try:
        yield
    except CasboError:
        raise
    except Exception as error:
        raise ImageError(
            f"{source}: its {part} cannot be loaded ({exception_message(error):.300}). {_FIX}"
        ) from error


def _source(model: str | Path) -> str:
    """A folder's full path, or a hub id as it is."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if isinstance(model, Path) or str(model).startswith((".", "/", "~")) or not str(model):
        raise ImageError(f"{str(model)!r}: no such model folder. {_FIX}")
    return str(model)


def _identity(source: str) -> dict[str, str]:
    folder = Path(source)
    if not folder.is_dir():
        return {"model": source}
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    stamps = tuple((str(file), file.stat().st_mtime_ns) for file in files)
    return {"model": folder.name, "model_sha256": _digest(stamps)}


@functools.cache
def _digest(stamps: tuple[tuple[str, int], ...]) -> str:
    """The SHA-256 of the weight files' own."""
    total = hashlib.sha256()
    for file, _ in stamps:
        with Path(file).open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


def _device(device: str | torch.device) -> str:
    try:
        return str(torch.device(device))
    except RuntimeError as error:
        raise ImageError(f"Expected a torch device such as 'cuda', got {device!r}.") from error


def _dtype(dtype: str | torch.dtype | None) -> str:
    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ImageError(f"Expected a dtype of {sorted(DTYPES)}, got {dtype!r}.")
    return name
