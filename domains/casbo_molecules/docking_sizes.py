"""A docking run over several numbers of atoms: a folder of runs that share one budget.

``parts.json`` in the folder says what was asked for; every size has an ordinary run folder
beside it, ``atoms-N``. What all of them found is put together in the folder itself.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casbo.atomic import write_atomically
from casbo.run_folder import PARTS

from .docking_options import KEPT, DockingOptions
from .docking_settings import Running
from .errors import DockingInputError
from .objectives import objective_of
from .sizes import Sized, folder_of, halve, required_rounds

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from casbo.result import Result

    from .vina import VinaScore

FIXED = ("population", "seed")  # of what a run may spend


def steer_docking_sizes(
    options: DockingOptions,
    vina: VinaScore,
    sizes: Sequence[int],
    running: Running,
    say: Callable[[str], None],
) -> list[Sized]:
    """Steer several sizes within one budget, or go on with it; the best size first.

    Parameters
    ----------
    options
        Those of every size; ``out`` is the folder of all, ``atoms`` is not used.
    vina
        Docks the molecules of every size.
    sizes
        Numbers of atoms.
    running
        What all of them together may spend.
    say
        Called with a line of progress.

    Raises
    ------
    casbo.errors.CasboError
        If the budget is too small, a size does not suit model or box, the folder holds something
        else, or a run fails; nothing is written before sizes and budget have proved sound.
    """
    from .docking_run import build, steer_docking, write_outputs

    required_rounds(sizes, running.queries, running.population)
    parts = {atoms: _part(options, atoms) for atoms in sizes}
    for part in parts.values():
        build(part, vina)
    folder = Path(options.out)
    _open(folder, options, sizes, running)

    def steered(atoms: int, queries: int) -> Result:
        say(f"{atoms} atoms: up to {queries} dockings")
        spent = {**running._asdict(), "queries": queries, "workers": running.processes}
        return steer_docking(parts[atoms], vina, outputs=False, **spent)

    direction = objective_of(options).direction
    budget = {"queries": running.queries, "population": running.population}
    found = halve(sizes, steered, direction=direction, **budget)
    docked = [one for one in found if one.result is not None and one.result.bests()]
    for one in docked:
        assert one.result is not None
        say(f"{one.atoms} atoms: best molecules and metrics")
        write_outputs(one.result, vina)
    if not docked:
        raise DockingInputError(f"{folder}: no molecule of any size could be docked")
    _put_together(folder, found, direction)
    return found


def resume(folder: Path, changes: Mapping[str, Any], say: Callable[[str], None]) -> list[Sized]:
    """Go on with a folder of runs.

    Parameters
    ----------
    folder
        Where ``parts.json`` is.
    changes
        New values of ``queries`` (of all sizes together), ``workers``, ``failure_limit``.
    say
        Called with a line of progress.

    Raises
    ------
    casbo.errors.CasboError
        As :func:`steer_docking_sizes`, or if the folder's ``parts.json`` is damaged.
    """
    from .docking_run import vina_score

    asked = _read(folder)
    try:
        options = DockingOptions.from_json(asked["domain"]["options"])
        running = Running(**{**asked["running"], **changes})
        sizes = [int(atoms) for atoms in asked["sizes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DockingInputError(f"{folder / PARTS}: damaged ({error}); start a new run") from error
    options = replace(options, out=str(folder.absolute()))
    return steer_docking_sizes(options, vina_score(options), sizes, running, say)


def table(found: Sequence[Sized]) -> str:
    """One line for each size, as text."""
    head = f"{'atoms':>5}  {'dockings':>8}  {'mean of best 5':>14}  dropped after"
    lines = [
        f"{one.atoms:>5}  {one.queries:>8}  {one.score:>14.3f}  "
        + ("never" if one.dropped is None else f"round {one.dropped + 1}")
        for one in found
    ]
    return "\n".join([head, *lines])


def _part(options: DockingOptions, atoms: int) -> DockingOptions:
    return replace(options, atoms=atoms, out=str(Path(options.out) / folder_of(atoms)))


def _open(folder: Path, options: DockingOptions, sizes: Sequence[int], running: Running) -> None:
    """Write ``parts.json``, or make sure that the folder's own says the same.

    Raises
    ------
    DockingInputError
        If the folder holds something else.
    """
    from .command import domain

    path = folder / PARTS
    asked = {
        "domain": domain.config(options.to_json()),
        "sizes": list(sizes),
        "running": running._asdict(),
    }
    if path.is_file():
        _require_same(folder, asked, _read(folder))
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DockingInputError(
            f"{folder}: expected a new or empty folder for runs of several sizes, or one of such "
            f"runs; it holds other files and no {PARTS}. Choose another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DockingInputError(f"{folder}: cannot be made ({error.strerror})") from error
    write_atomically(path, f"{json.dumps(asked, indent=2, allow_nan=False)}\n".encode())


def _require_same(folder: Path, asked: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    def fixed(one: Mapping[str, Any]) -> dict[str, Any]:
        """What may not change: all but what can be spent and where the folder is."""
        spent = one.get("running", {})
        options = {**one.get("domain", {}).get("options", {}), "out": None}
        return {"atoms": one.get("sizes"), **options, **{k: spent.get(k) for k in FIXED}}

    ours, theirs = fixed(json.loads(json.dumps(asked))), fixed(known)
    for name in ours.keys() | theirs.keys():
        if ours.get(name) != theirs.get(name):
            raise DockingInputError(
                f"{folder}: expected the settings of the runs in it, got others ({name}: runs "
                f"{theirs.get(name)!r}, asked {ours.get(name)!r}); choose another folder for other "
                "runs"
            )


def _read(folder: Path) -> dict[str, Any]:
    try:
        asked = json.loads((folder / PARTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DockingInputError(f"{folder / PARTS}: cannot be read ({error})") from error
    if not isinstance(asked, dict):
        raise DockingInputError(f"{folder / PARTS}: damaged; start a new run")
    return asked


def _put_together(folder: Path, found: Sequence[Sized], direction: str) -> None:
    """Write the best poses of all sizes, all their queries, and a table of the sizes."""
    from .tables import read_poses, scored_molecules, write_all, write_poses

    folders = {one.atoms: folder / folder_of(one.atoms) for one in found}
    for part in folders.values():
        write_all(scored_molecules(part), part / "all.csv")  # also where nothing was docked
    poses = [mol for part in folders.values() for mol in read_poses(part / "best.sdf")]
    poses.sort(key=partial(_number, name="score"), reverse=direction == "maximize")
    names = ("score", *_components())
    rows = [{name: _number(mol, name) for name in names} for mol in poses[:KEPT]]
    write_poses(poses[:KEPT], rows, folder / "best.sdf")
    _write_table(folder / "all.csv", _queries(folders))
    _write_table(
        folder / "sizes.csv",
        [
            {
                "atoms": one.atoms,
                "dockings": one.queries,
                "mean_of_best_five": "" if math.isnan(one.score) else f"{one.score:.6g}",
                "dropped_after_round": "" if one.dropped is None else one.dropped + 1,
            }
            for one in found
        ],
    )


def _queries(folders: Mapping[int, Path]) -> list[dict[str, Any]]:
    """The rows of every size's ``all.csv``, each with its number of atoms."""
    return [
        {"atoms": atoms, **row}
        for atoms, part in sorted(folders.items())
        for row in csv.DictReader(io.StringIO((part / "all.csv").read_text(encoding="utf-8")))
    ]


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def _components() -> tuple[str, ...]:
    from .docking_score import DockingScore

    return DockingScore.components


def _number(mol: Mol, name: str) -> float:
    """A number among a pose's SD fields."""
    return float(mol.GetProp(name))
