"""Settings of a command: those stated on the command line, then those of a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from casbo.errors import CasboError

if TYPE_CHECKING:
    import typer


def stated(context: typer.Context) -> dict[str, Any]:
    """What the command line states, ``--config`` aside; no defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {
        name: context.params[name]
        for name, source in sources.items()
        if name != "config" and source is not None and source.name == "COMMANDLINE"
    }


def merged(
    stated: Mapping[str, Any],
    config: Path | None,
    known: Mapping[str, Any],
    error: type[CasboError] = CasboError,
) -> dict[str, Any]:
    """The settings stated and those of a file, each of its type; the stated ones win.

    Arguments:
        stated: Settings by name.
        config: A TOML file of others, or None.
        known: The type of every setting there is.
        error: What is raised.

    Raises:
        CasboError: When the file cannot be read, or a setting is unknown or of another type.
    """
    settings = {**({} if config is None else _from_file(config, error)), **stated}
    if unknown := sorted(set(settings) - set(known)):
        raise error(
            f"Expected settings among {', '.join(sorted(known))}; none is called "
            f"{', '.join(map(repr, unknown))}."
        )
    return {name: _as_type(name, value, known[name], error) for name, value in settings.items()}


def _from_file(path: Path, error: type[CasboError]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise error(f"Expected a TOML file in {path}, reading it failed ({problem}).") from problem


def _as_type(name: str, value: Any, kind: Any, error: type[CasboError]) -> Any:  # noqa: ANN401
    """A setting's value as its type: a single text is a list of one as well."""
    if get_origin(kind) is tuple and isinstance(value, str):
        value = [value]
    if not _is_of(value, kind):
        raise error(f"Expected {name} to be {_in_words(kind)}, got {value!r:.200}.")
    return value


def _in_words(kind: Any) -> str:  # noqa: ANN401
    """A type as a user knows it, such as "a whole number or a list of texts"."""
    if isinstance(kind, UnionType):
        return " or ".join(_in_words(one) for one in get_args(kind) if one is not NoneType)
    words = {str: "a text", int: "a whole number", float: "a finite number"}
    if get_origin(kind) is tuple:
        return f"a list of {words[get_args(kind)[0]].removeprefix('a ')}s"
    return words.get(kind, "a table")


def _is_of(value: Any, kind: Any) -> bool:  # noqa: ANN401
    """Whether a value is of a type; a whole number is a float too, a truth value is no number."""
    if isinstance(kind, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        rows = isinstance(value, (list, tuple))
        return rows and all(_is_of(entry, get_args(kind)[0]) for entry in value)
    if kind in (int, float):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    return isinstance(value, get_origin(kind) or kind)
