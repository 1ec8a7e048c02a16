"""Files of JSON lines that an interruption may cut off anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from casbo.errors import CasboError


def read(path: Path, keys: set[str], what: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; none if there is no such file.

    Arguments:
        path: The file.
        keys: What every line has.
        what: What a line is, as an error says it.

    Raises:
        CasboError: When the file cannot be read, or a line that is whole is something else.
    """
    if not path.exists():
        return
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CasboError(f"Could not read {path}: {error}.") from error
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue  # cut off by an interruption
        if not isinstance(line, dict) or not keys <= line.keys():
            raise CasboError(f"Expected {what} in line {number} of {path}, got {text[:60]!r}.")
        yield line


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a whole line in one write, after what an interruption may have cut off."""
    text = json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n"
    with path.open("ab+", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            text = "\n" + text
        os.write(file.fileno(), text.encode())
