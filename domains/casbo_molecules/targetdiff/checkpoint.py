"""Reading a checkpoint in the authors' layout without ever running what is in it.

The published file is a zip archive of a pickle and of raw numbers, and its configuration is an
``easydict.EasyDict``, which the safe mode of ``torch.load`` refuses. So the archive is read here:
the pickle by an unpickler that knows four names and no other, each standing for something of this
module, and the numbers straight from the archive. ``torch.load`` is not called: it would hand some
archives to other loaders.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import TargetDiffError

MOST_PICKLE = 64 * 2**20  # bytes of the pickle itself, which holds no numbers of the weights


class Options(dict[str, Any]):
    """A configuration section: a plain dict, whatever state the file would set besides."""

    def __setstate__(self, state: object) -> None:
        """The items say it all."""


class _FloatStorage:
    """Stands for torch.FloatStorage; it is named in the file and never made."""


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: object) -> Tensor:  # noqa: ANN401
    """A view of numbers that were read; bounds are checked by torch."""
    if not isinstance(storage, Tensor):
        raise pickle.UnpicklingError("a tensor without numbers")
    if not len(size) == len(stride) or not all(type(x) is int for x in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor of no definite shape")
    return storage.as_strided(tuple(size), tuple(stride), offset)


ALLOWED: dict[tuple[str, str], Any] = {
    ("easydict", "EasyDict"): Options,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): _FloatStorage,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Knows the names of :data:`ALLOWED` and takes numbers from the archive."""

    def __init__(self, archive: zipfile.ZipFile, pickled: zipfile.ZipInfo) -> None:
        super().__init__(archive.open(pickled), encoding="utf-8")
        self._archive = archive
        self._folder = pickled.filename.removesuffix("data.pkl")
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        """What a name of the file stands for.

        Raises
        ------
        pickle.UnpicklingError
            For any name but the four, before anything of it is looked up.
        """
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which no TargetDiff checkpoint needs; such a file can "
                "run programs when it is loaded, so it was not read any further"
            ) from None

    def persistent_load(self, reference: object) -> Tensor:
        """The numbers of a storage: ("storage", kind, key, place, count)."""
        match reference:
            case ("storage", kind, str(key), str(), int(count)) if kind is _FloatStorage:
                pass
            case _:
                raise pickle.UnpicklingError("expected 32-bit floating-point numbers only")
        if key not in self._storages:
            raw = self._archive.read(f"{self._folder}data/{key}")
            if len(raw) != 4 * count:
                raise pickle.UnpicklingError(f"data/{key}: {len(raw)} bytes for {count} numbers")
            self._storages[key] = (
                torch.frombuffer(bytearray(raw), dtype=torch.float32) if count else torch.empty(0)
            )
        return self._storages[key]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what is in a file written by ``torch.save``: dicts, numbers, text and tensors.

    Raises
    ------
    TargetDiffError
        If the file is missing, damaged, of another kind, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = RestrictedUnpickler(archive, _pickle_in(archive)).load()
    except FileNotFoundError:
        raise TargetDiffError(f"{path}: no such file (TargetDiff checkpoint)") from None
    except zipfile.BadZipFile as error:
        raise TargetDiffError(
            f"{path}: damaged, cut short, or no checkpoint ({error}); expected a file written by "
            "torch.save, such as TargetDiff's pretrained_diffusion.pt: download it again"
        ) from None
    except pickle.UnpicklingError as error:
        raise TargetDiffError(f"{path}: refused: {error}") from None
    except OSError as error:
        raise TargetDiffError(f"{path}: cannot be read: {error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TargetDiffError(f"{path}: not a readable checkpoint ({reason})") from None
    if not isinstance(content, dict):
        raise TargetDiffError(
            f"{path}: expected a dict with 'config' and 'model', got {type(content).__name__}"
        )
    return content


def _pickle_in(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The pickle of an archive that torch.save wrote: stored as it is, little-endian."""
    members = archive.infolist()
    pickles = [member for member in members if member.filename.count("/") == 1]
    pickles = [member for member in pickles if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise zipfile.BadZipFile("no data.pkl in it")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise zipfile.BadZipFile("compressed")
    if pickles[0].file_size > MOST_PICKLE:
        raise zipfile.BadZipFile(f"a pickle of {pickles[0].file_size} bytes")
    order = pickles[0].filename.removesuffix("data.pkl") + "byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise zipfile.BadZipFile("big-endian numbers")
    return pickles[0]
