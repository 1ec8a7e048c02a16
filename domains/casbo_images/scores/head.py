"""Heads on picture features, read from a file without running anything in it."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ..errors import ImageError

#: "layers.4.weight" -> prefix "layers.4", kind "weight"; "weight" -> prefix ""
_KEY = re.compile(r"(?:(?P<prefix>.+)\.)?(?P<kind>weight|bias)")


class Head:
    """Linear layers in a row, features (N, F) -> (N,).

    Arguments:
        layers: Each layer's weight, with shape (out, in), and bias, with shape (out,).
        activation: What stands between the layers; a file of weights does not tell.
        sha256: Of the file that it was read from.
    """

    def __init__(
        self, layers: list[tuple[Tensor, Tensor]], activation: Literal["relu"] | None, sha256: str
    ) -> None:
        self.layers = layers
        self.activation = activation
        self.sha256 = sha256

    @property
    def width(self) -> int:
        """F, the number of features it expects."""
        return self.layers[0][0].shape[1]

    def __call__(self, features: Tensor) -> Tensor:
        values = features.double()
        for number, (weight, bias) in enumerate(self.layers):
            if number and self.activation == "relu":
                values = values.relu()
            values = values @ weight.T + bias
        return values.squeeze(-1)


def read_head(path: Path | str, activation: Literal["relu"] | None = None) -> Head:
    """A head from a safetensors file or a ``.pth`` state dict of linear layers.

    Layers stand in the order of the numbers in their names ("layers.0.weight", "layers.2.weight",
    ...); "weight" and "bias" alone are one layer. Pickled code in a ``.pth`` is never run.

    Raises:
        ImageError: When the file is missing, is no such file, or its layers do not fit.
    """
    if activation not in (None, "relu"):
        raise ImageError(f"Expected activation None or 'relu', got {activation!r}.")
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: the head's file cannot be read: {error.strerror}.") from None
    layers = _layers(path, _tensors(path, content), activation)
    return Head(layers, activation, hashlib.sha256(content).hexdigest())


def _tensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            return dict(load(content))
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own
        raise ImageError(
            f"{path}: expected safetensors or a state dict of tensors, written by torch.save; it "
            f"cannot be read as one ({type(error).__name__}). Nothing in it was run."
        ) from error
    tensors = isinstance(state, Mapping) and all(isinstance(v, Tensor) for v in state.values())
    if not tensors:
        raise ImageError(
            f"{path}: expected a state dict (names -> tensors), got {type(state).__name__}: save "
            "model.state_dict()."
        )
    return {str(name): value for name, value in state.items()}


def _layers(
    path: Path, tensors: Mapping[str, Tensor], activation: str | None
) -> list[tuple[Tensor, Tensor]]:
    """The layers in their order, each fitting the one before."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key = _KEY.fullmatch(name)
        rank = {"weight": 2, "bias": 1}
        if key is None or tensor.ndim != rank[key["kind"]] or not tensor.is_floating_point():
            raise ImageError(
                f"{path}: expected weights (out, in) and biases (out,) of linear layers only, got "
                f"{name!r} with shape {tuple(tensor.shape)}."
            )
        found.setdefault(key["prefix"] or "", {})[key["kind"]] = tensor.double()
    names = sorted(found, key=_numbers)
    lonely = [name for name in names if "weight" not in found[name]]
    if lonely or not names:
        raise ImageError(f"{path}: expected linear layers, got no weight for {lonely or 'any'}.")
    _refuse_hidden_activations(path, names, activation)
    layers = []
    for name in names:
        weight = found[name]["weight"]
        layers.append((weight, found[name].get("bias", weight.new_zeros(len(weight)))))
    _check_sizes(path, names, layers)
    return layers


def _check_sizes(path: Path, names: list[str], layers: list[tuple[Tensor, Tensor]]) -> None:
    shapes = [
        f"{name or 'weight'} {tuple(w.shape)}" for name, (w, _) in zip(names, layers, strict=True)
    ]
    fit = all(len(before) == after.shape[1] for (before, _), (after, _) in pairwise(layers))
    biased = all(len(weight) == len(bias) for weight, bias in layers)
    if not fit or not biased or len(layers[-1][0]) != 1:
        raise ImageError(
            f"{path}: expected layers (out, in) that fit each other and end in one number, got "
            f"{', '.join(shapes)}."
        )


def _refuse_hidden_activations(path: Path, names: list[str], activation: str | None) -> None:
    """Between two linear layers there is room for a dropout, but not for an activation too."""
    numbers = [_numbers(name)[-1:] for name in names]
    gaps = [b[0] - a[0] for a, b in pairwise(numbers) if a and b]
    if activation is None and max(gaps, default=0) > 2:
        raise ImageError(
            f"{path}: the layers {names} leave room for activations between them, which a file of "
            "weights does not tell: give activation='relu' if it was trained so."
        )


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", name)]
