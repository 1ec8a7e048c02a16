"""An official checkpoint folder -> a model.

The folder holds the training arguments, ``args.pickle`` or the same as ``args.json``, and the
weights, ``generative_model_ema.npy`` (which, in spite of its name, ``torch.save`` wrote) or
``generative_model_ema.safetensors``. Where JSON or safetensors stand beside the others, they are
read. Models of other data sets than QM9 and GEOM-drugs bring ``dataset_info.json``. Nothing in any
of these files is ever run.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from casbo.atomic import write_atomically

from ..model import ModelError
from .arguments import read_arguments
from .configuration import EdmConfig
from .dataset import DATASETS, Dataset
from .model import EdmModel

ARGUMENTS = ("args.json", "args.pickle")
WEIGHTS = ("generative_model_ema.safetensors", "generative_model_ema.npy")
DATASET = "dataset_info.json"


def load_model(folder: str | Path, device: str | torch.device = "cpu") -> EdmModel:
    """The model in an official folder, ready to sample, in float32.

    Raises
    ------
    ModelError
        If a file is missing, damaged or holds more than values, if the arguments ask for another
        kind of model, or if the tensors are not exactly those that the arguments call for.
    """
    folder = Path(folder).expanduser()
    arguments_file, weights_file = _found(folder, ARGUMENTS), _found(folder, WEIGHTS)
    with _readable():
        arguments = _read_arguments(arguments_file)
        dataset = _dataset(folder, arguments)
        tensors = _read_tensors(weights_file)
    with torch.device("meta"):  # no memory, no random weights
        model = EdmModel(EdmConfig.from_arguments(arguments), dataset)
    _check_tensors(weights_file, tensors, model.state_dict())
    model.load_state_dict(
        {name: value.float().clone().contiguous() for name, value in tensors.items()}, assign=True
    )
    return model.requires_grad_(False).eval().to(device)


def save_model(model: EdmModel, folder: str | Path) -> Path:
    """Write ``args.json``, ``dataset_info.json`` and weights as an official folder holds them.

    :func:`load_model` is the inverse. Each file is written whole or not at all.
    """
    from safetensors.torch import save

    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("args.json", _json(model.config.to_arguments() | {"dataset": model.dataset.name})),
        (DATASET, _json(model.dataset.to_json())),
        (WEIGHTS[0], save(tensors)),
    ):
        write_atomically(folder / name, content)
    return folder


def load_dataset(folder: str | Path) -> Dataset:
    """What the model in an official folder was trained on; its weights are not read.

    Raises
    ------
    ModelError
        If the arguments are missing or damaged, or name no data set that is known.
    """
    folder = Path(folder).expanduser()
    with _readable():
        return _dataset(folder, _read_arguments(_found(folder, ARGUMENTS)))


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


@contextmanager
def _readable() -> Iterator[None]:
    """A file that the system cannot read is the user's to mend."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _found(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"expected {' or '.join(names)} in the EDM checkpoint folder {folder}, got "
        f"{'no such file' if folder.is_dir() else 'no such folder'}"
    )


def _read_arguments(path: Path) -> Mapping[str, Any]:
    return read_arguments(path) if path.suffix == ".pickle" else _read_json(path)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: expected JSON, got a file that is none: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object, got a {type(value).__name__}")
    return value


def _dataset(folder: Path, arguments: Mapping[str, Any]) -> Dataset:
    """What ``dataset_info.json`` says, else the official data set named in the arguments."""
    if (folder / DATASET).is_file():
        return Dataset.from_json(_read_json(folder / DATASET))
    name = arguments.get("dataset")
    known = DATASETS.get(name) if isinstance(name, str) else None
    if known is None or arguments.get("remove_h", False) is not False:
        raise ModelError(
            f"expected {DATASET} in {folder} for a model of dataset {reprlib.repr(name)} with "
            f"remove_h {reprlib.repr(arguments.get('remove_h', False))}: only "
            f"{' and '.join(DATASETS)} with hydrogens are known without it"
        )
    return known


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    with path.open("rb"):
        pass  # what is wrong with the path, not with its content
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has errors of its own
        raise ModelError(
            f"{path}: expected a state dict of tensors, as torch.save or safetensors write it, got "
            f"a file that cannot be read as one ({type(error).__name__}); nothing in it was run"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(
            f"{path}: expected a state dict (names -> tensors), got {type(state).__name__}"
        )
    return {str(name): value for name, value in state.items()}


def _check_tensors(path: Path, got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing, unknown = expected.keys() - got.keys(), got.keys() - expected.keys()
    if missing or unknown:
        raise ModelError(
            f"{path}: expected the {len(expected)} tensors that the training arguments call for, "
            f"got {len(missing)} missing ({_first(missing)}) and {len(unknown)} others "
            f"({_first(unknown)}): weights and arguments must be of one model"
        )
    for name, tensor in got.items():
        if tensor.shape != expected[name].shape:
            raise ModelError(
                f"{path}: expected {name} with shape {tuple(expected[name].shape)}, which the "
                f"training arguments and the data set call for, got {tuple(tensor.shape)}"
            )
        if tensor.layout != torch.strided or not tensor.is_floating_point():
            raise ModelError(
                f"{path}: expected floating-point numbers in {name}, got another kind"
            )
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"{path}: expected finite numbers in {name}, got nan or inf")
    if not bool((got["gamma.gamma"].diff() > 0).all()):
        raise ModelError(f"{path}: expected gamma.gamma to rise from each time to the next")


def _first(names: set[str]) -> str:
    shown = sorted(names)[:2]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "") or "none"
