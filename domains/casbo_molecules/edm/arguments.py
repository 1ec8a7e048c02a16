"""Training arguments from ``args.pickle``, without running what else a pickle can hold.

The official file is a pickled ``argparse.Namespace`` of plain values. A pickle is a program: so the
file is first read as a list of instructions, and refused as a whole if one of them is not needed
for such a file (calling a function is not); then it is loaded by an unpickler to which
``argparse.Namespace`` is the only name there is, and even that stands for an empty class of ours.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

from ..model import ModelError

LARGEST_FILE = 2**20  # bytes; the official files have about a thousand

#: What builds numbers, text, lists, dictionaries and one object with attributes.
INSTRUCTIONS = """
    PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    BINUNICODE SHORT_BINUNICODE EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL NEWOBJ BUILD
"""


def read_arguments(path: Path) -> dict[str, Any]:
    """The training arguments by name.

    Raises
    ------
    OSError
        If the file cannot be read.
    ModelError
        If it is no pickled namespace of plain values; nothing in it has run then.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    expected = f"{path}: expected a pickled argparse.Namespace of plain values"
    if len(content) > LARGEST_FILE:
        raise ModelError(f"{expected}, got a file of more than {LARGEST_FILE} bytes")
    try:
        _check_instructions(content)
        unpickler = _NamespaceUnpickler(io.BytesIO(content))
        arguments = unpickler.load()
    except (
        *(pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, EOFError),
        *(AttributeError, OverflowError, MemoryError, struct.error),
    ) as error:
        raise ModelError(f"{expected}; nothing in it was run: {error}") from error
    if not isinstance(arguments, unpickler.namespace):
        raise ModelError(f"{expected}, got a pickled {type(arguments).__name__}")
    return {str(name): value for name, value in vars(arguments).items()}


class _NamespaceUnpickler(pickle.Unpickler):
    """Knows one name, which stands for a class that is made for this one file."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.namespace = type("Namespace", (), {})

    def find_class(self, module: str, name: str) -> type:
        if (module, name) != ("argparse", "Namespace"):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.namespace


def _check_instructions(content: bytes) -> None:
    allowed, end = set(INSTRUCTIONS.split()), -1
    for instruction, argument, position in pickletools.genops(content):
        if instruction.name not in allowed:
            raise pickle.UnpicklingError(f"it holds the instruction {instruction.name}")
        if instruction.name == "GLOBAL" and argument != "argparse Namespace":
            raise pickle.UnpicklingError(f"it asks for {argument}")
        # the number of a note is also how much memory is laid out for notes
        if instruction.name.endswith("BINPUT") and int(str(argument)) > len(content):
            raise pickle.UnpicklingError("its numbering is damaged")
        end = position
    if end + 1 != len(content):
        raise pickle.UnpicklingError("something follows its end")
