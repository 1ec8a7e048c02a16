"""The commands of this domain, and the way back from a run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from casbo.domains import Domain, Problem
from casbo.panel import Panel

from .dock_command import checked, dock, say_best, say_sizes
from .metrics_command import metrics

DEMO_ATOMS = 20
DEMO_QUERIES = 320


def register(app: typer.Typer) -> None:
    """Add this domain's commands."""
    app.command("dock")(dock)
    app.command("demo")(demo)
    app.command("metrics")(metrics)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """Build the problem of a run folder from the options in its config."""
    from .docking_options import DockingOptions
    from .docking_run import build

    return build(DockingOptions.from_json(options))


def panels(run: Path) -> Sequence[Panel]:
    """What the report of a run folder shows besides; nothing where the extra is not installed."""
    try:
        from .pose_panel import docking_panels

        return docking_panels(run)
    except ModuleNotFoundError:
        return ()


def resume(folder: Path, changes: Mapping[str, Any]) -> None:
    """Go on with a docking run over several numbers of atoms."""
    from .docking_sizes import resume

    say_sizes(resume(folder, changes, typer.echo), folder)


domain = Domain(name="molecules", register=register, rebuild=rebuild, report=panels, resume=resume)


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the two runs.")] = Path("runs/demo"),
    queries: Annotated[int, typer.Option(min=1, help="Dockings for each.")] = DEMO_QUERIES,
    population: Annotated[int, typer.Option(min=2, help="Dockings per iteration.")] = 32,
    atoms: Annotated[int, typer.Option(help="Heavy atoms.")] = DEMO_ATOMS,
    seed: Annotated[int, typer.Option(help="Determines both runs.")] = 1,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Docking processes; by default one per core.")
    ] = None,
) -> None:
    """Steer and plainly sample molecules for the embedded receptor, and compare."""
    from .arms import Spending
    from .comparison import table
    from .demonstration import STEERED, demonstrate
    from .docking_options import DockingOptions
    from .docking_settings import cores
    from .target import default_target

    target = default_target()
    typer.echo(target.name)
    options, vina = checked(
        DockingOptions(
            out=str((out / STEERED).absolute()),
            receptor=str(target.receptor),
            ligand=str(target.ligand),
            atoms=atoms,
            sampler={},
        )
    )
    shown = demonstrate(
        options,
        vina,
        out,
        Spending(queries, population, seed, workers or cores()),
        say=typer.echo,
    )
    typer.echo(table(shown.columns))
    say_best(shown.result)
