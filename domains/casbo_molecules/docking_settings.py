"""What ``casbo dock`` is told: by its options, by a TOML file of the same names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from casbo.settings import merged

from .docking_options import DEADLINE, DockingOptions
from .errors import DockingInputError
from .generators import NAMED

QUERIES, POPULATION, SEED = 640, 32, 1
DIGITS = 9  # of a number among several; Python refuses to read very long ones
FILES = ("receptor", "ligand", "checkpoint")


class Running(NamedTuple):
    """What a run may spend; none of it changes what the run is built from."""

    queries: int = QUERIES
    population: int = POPULATION
    seed: int = SEED
    workers: int | None = None
    deadline: float = DEADLINE
    failure_limit: float | None = None

    @property
    def processes(self) -> int:
        """Docking processes: as asked for, else one for each core that this process may use."""
        return self.workers or cores()


class Settings(NamedTuple):
    """All that is set for a run.

    Parameters
    ----------
    options
        What it is built from, number of atoms aside.
    atoms
        Numbers of atoms that are stated, "prior", or None: :func:`.generators.sizes_of`.
    running
        What it may spend.
    """

    options: DockingOptions
    atoms: tuple[int, ...] | str | None
    running: Running


def read_settings(stated: Mapping[str, Any], config: Path | None = None) -> Settings:
    """The settings of a run: those stated, then those of a file, then the defaults.

    Parameters
    ----------
    stated
        Settings by name, lists as text where the command line has them so.
    config
        A TOML file of others; its paths count from where the program runs.

    Raises
    ------
    DockingInputError
        If the file cannot be read, or a setting is unknown, missing or of another type.
    """
    values = merged(_from_text(stated), config, _known(), DockingInputError)
    for name in ("out", "receptor"):
        if not values.get(name):
            raise DockingInputError(f"expected --{name}, or {name} in the --config file; got none")
    running = Running(**{name: values.pop(name) for name in Running._fields if name in values})
    _check(running)
    atoms = values.pop("atoms", None)
    if "steps" in values:
        values["sampler"] = {"steps": values.pop("steps")}
    if "residue" in values:
        values["residues"] = values.pop("residue")
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    options = DockingOptions(**_with_full_paths({"sampler": {}, **values, **lists}))
    return Settings(options, _numbers_of_atoms(atoms), running)


def _known() -> dict[str, Any]:
    """Every setting's type; what the options and the command line call differently is listed."""
    hints = get_type_hints(DockingOptions)
    own = {option.name: hints[option.name] for option in fields(DockingOptions)}
    for name in ("residues", "sampler", "receptor_sha256"):
        del own[name]
    atoms = int | str | tuple[int, ...]
    return {**own, "residue": tuple[str, ...], "steps": int, "atoms": atoms, **_spent()}


def _spent() -> dict[str, Any]:
    hints = get_type_hints(Running)
    return {name: hints[name] for name in Running._fields}


def _from_text(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the command line writes as text with commas into lists."""
    values = dict(stated)
    for name in ("center", "size"):
        if isinstance(values.get(name), str):
            values[name] = _triple(f"--{name}", values[name])
    for name in ("score_steps", "guess_steps"):
        if isinstance(values.get(name), str):
            values[name] = _steps(name, values[name])
    if isinstance(values.get("steer"), str):
        values["steer"] = [part.strip() for part in values["steer"].split(",") if part.strip()]
    return values


def _numbers_of_atoms(asked: int | str | list[int] | None) -> tuple[int, ...] | str | None:
    if asked is None or asked == "prior":
        return asked  # type: ignore[return-value]
    if isinstance(asked, int):
        return (asked,)
    numbers = _whole_numbers(asked) if isinstance(asked, str) else asked
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise DockingInputError(
            f"expected --atoms as a number, several different ones such as 14,16,18, or prior, "
            f"got {asked!r:.60}"
        )
    return tuple(numbers)


def _triple(name: str, text: str) -> list[float]:
    """Three numbers separated by commas."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise DockingInputError(
            f"expected {name} as three numbers, such as {name}=15.2,53.9,16.9; got {text!r:.60}"
        )
    return numbers


def _steps(name: str, text: str) -> list[int]:
    """Steps separated by commas."""
    steps = _whole_numbers(text)
    if not steps:
        raise DockingInputError(
            f"expected --{name.replace('_', '-')} as steps, such as 20,30; got {text!r:.60}"
        )
    return steps


def _whole_numbers(text: str) -> list[int]:
    """Whole numbers separated by commas; none where that is not what the text is."""
    parts = [part.strip() for part in text.split(",")]
    good = all(part.isascii() and part.isdigit() and len(part) <= DIGITS for part in parts)
    return [int(part) for part in parts] if good else []


def _check(running: Running) -> None:
    """What else would show only once the folder of several runs is there."""
    least = {"queries": 1, "population": 2, "seed": 0, "workers": 1, "deadline": 1}
    for name, bound in least.items():
        value = getattr(running, name)
        if value is not None and value < bound:
            raise DockingInputError(f"expected --{name} of {bound} or more, got {value:g}")
    if running.population % 2:
        raise DockingInputError(f"expected an even --population, got {running.population}")
    if running.failure_limit is not None and not 0 < running.failure_limit <= 1:
        raise DockingInputError(
            f"expected --failure-limit above 0 and up to 1, got {running.failure_limit:g}"
        )


def _with_full_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same with files and folders by their full paths, so that another place can go on."""
    full = dict(values)
    folder = None if values.get("model") in (None, *NAMED) else "model"
    for name in (*FILES, "out", folder):
        if name is not None and full.get(name):
            if "\0" in full[name]:
                raise DockingInputError(f"expected --{name} as a path, got {full[name]!r:.60}")
            full[name] = str(Path(os.path.expanduser(full[name])).absolute())
    return full


def cores() -> int:
    """Cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
