"""``casbo dock`` and ``casbo demo``: steer molecules towards a protein's pocket."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from casbo.domains import Domain, Problem
from casbo.panel import Panel

from .metrics_command import metrics

if TYPE_CHECKING:
    from casbo.result import Result

    from .docking_run import DockingOptions
    from .vina import VinaScore

Residues = Annotated[
    list[str] | None,
    typer.Option(metavar="A:45", help="A residue of the pocket; their place is the box."),
]

DEMO_ATOMS = 20
DEMO_QUERIES = 320


def register(app: typer.Typer) -> None:
    """Add this domain's commands."""
    app.command("dock")(dock)
    app.command("demo")(demo)
    app.command("metrics")(metrics)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """Build the problem of a run folder from the options in its config."""
    from .docking_run import DockingOptions, build

    return build(DockingOptions.from_json(options))


def panels(run: Path) -> Sequence[Panel]:
    """What the report of a run folder shows besides; nothing where the extra is not installed."""
    try:
        from .pose_panel import docking_panels

        return docking_panels(run)
    except ModuleNotFoundError:
        return ()


domain = Domain(name="molecules", register=register, rebuild=rebuild, report=panels)


def dock(
    *,
    receptor: Annotated[Path, typer.Option(help="The protein: PDB, mmCIF or PDBQT.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    ligand: Annotated[
        Path | None,
        typer.Option(help="A ligand in the pocket (SDF, MOL, MOL2, PDB); its place is the box."),
    ] = None,
    center: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="The box's centre in Å.")
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="A,B,C", help="Its sides in Å.")] = None,
    residue: Residues = None,
    padding: Annotated[float, typer.Option(help="Å added to the ligand's extent.")] = 5.0,
    queries: Annotated[int, typer.Option(min=1, help="Dockings to spend.")] = 640,
    atoms: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Atoms of a molecule, or prior; by default those of the ligand."
        ),
    ] = None,
    population: Annotated[int, typer.Option(min=2, help="Dockings per iteration.")] = 32,
    seed: Annotated[int, typer.Option(help="Determines the run.")] = 1,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Docking processes; by default one per core.")
    ] = None,
    deadline: Annotated[float, typer.Option(min=1.0, help="Seconds for one docking.")] = 120.0,
    exhaustiveness: Annotated[
        int | None, typer.Option(help="Vina's independent searches for each docking.")
    ] = None,
    max_evals: Annotated[
        int | None, typer.Option(help="Energy evaluations in each; 0 for Vina's own rule.")
    ] = None,
    vina_seed: Annotated[int, typer.Option(help="Seed of the docking, not 0.")] = 42,
    hydrogens: Annotated[
        str, typer.Option(help="auto: add them where the file has none; or add, or keep.")
    ] = "auto",
    ph: Annotated[float, typer.Option(help="pH at which hydrogens are added.")] = 7.4,
    keep: Annotated[
        list[str] | None, typer.Option(help="Hetero group to keep, such as ZN or HEM.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Residue to remove, such as a ligand named LIG.")
    ] = None,
    chains: Annotated[list[str] | None, typer.Option(help="Chain to use; all by default.")] = None,
    qed_weight: Annotated[
        float | None, typer.Option(help="kcal/mol that QED = 1 is worth; 8 by default.")
    ] = None,
    sa_weight: Annotated[
        float | None,
        typer.Option(
            help="kcal/mol that the best synthetic accessibility is worth; 3 by default."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=2, help="Steps of the diffusion.")] = None,
    model: Annotated[
        str | None, typer.Option(help="targetdiff, edm, or the folder of another model.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of targetdiff (a file) or edm (a folder).")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the model computes: cpu, cuda.")] = "cpu",
    steer: Annotated[
        str, typer.Option(metavar="PARTS", help="targetdiff: positions, or positions,types.")
    ] = "",
) -> None:
    """Steer molecules towards a pocket; writes best.sdf, all.csv and report.html."""
    from .docking_run import FAST_EVALUATIONS, FAST_EXHAUSTIVENESS, DockingOptions, steer_docking
    from .generators import NAMED

    options = DockingOptions(
        out=str(out.absolute()),
        receptor=str(receptor.absolute()),
        ligand=None if ligand is None else str(ligand.absolute()),
        residues=tuple(residue or ()),
        center=None if center is None else _triple("--center", center),
        size=None if size is None else _triple("--size", size),
        padding=padding,
        model=model if model is None or model in NAMED else str(Path(model).absolute()),
        checkpoint=None if checkpoint is None else str(checkpoint.absolute()),
        device=device,
        steer=tuple(part.strip() for part in steer.split(",") if part.strip()),
        sampler={} if steps is None else {"steps": steps},
        exhaustiveness=FAST_EXHAUSTIVENESS if exhaustiveness is None else exhaustiveness,
        max_evals=FAST_EVALUATIONS if max_evals is None else max_evals,
        vina_seed=vina_seed,
        hydrogens=hydrogens,
        ph=ph,
        keep=tuple(keep or ()),
        drop=tuple(drop or ()),
        chains=tuple(chains or ()),
        qed_weight=qed_weight,
        sa_weight=sa_weight,
    )
    options, vina = _checked(options, atoms)
    running = {"queries": queries, "population": population, "seed": seed}
    result = steer_docking(options, vina, workers=workers or cores(), deadline=deadline, **running)
    _say_best(result)


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
    from .comparison import table
    from .demonstration import STEERED, demonstrate
    from .docking_run import DockingOptions
    from .target import default_target

    target = default_target()
    typer.echo(target.name)
    options, vina = _checked(
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
        queries=queries,
        population=population,
        seed=seed,
        workers=workers or cores(),
        say=typer.echo,
    )
    typer.echo(table(shown.columns))
    _say_best(shown.result)


def _checked(
    options: DockingOptions, atoms: str | None = None
) -> tuple[DockingOptions, VinaScore]:
    """Options with everything filled in, once receptor and box have proved sound."""
    from .docking_run import vina_score
    from .generators import atoms_of, generator_of

    generator_of(options)
    vina = vina_score(options)
    for note in vina.receptor.notes:
        typer.echo(f"receptor: {note}")
    center, size = (", ".join(f"{x:.1f}" for x in row) for row in (vina.box.center, vina.box.size))
    typer.echo(f"box: centre ({center}) Å, sides ({size}) Å")
    number = atoms_of(options, vina, atoms) if options.atoms is None else options.atoms
    return replace(options, atoms=number, receptor_sha256=vina.receptor.sha256()), vina


def _say_best(result: Result) -> None:
    """The best molecules, the metrics and where everything is."""
    from .metrics.table import metrics_table
    from .run_metrics import read_metrics

    assert result.run is not None
    for rank, best in enumerate(result.bests(5), start=1):
        scores = best.components
        typer.echo(
            f"{rank}. {scores['vina']:.2f} kcal/mol  QED {scores['qed']:.2f}  "
            f"SA {scores['sa_normalised']:.2f}  {best.sample.smiles}"
        )
    typer.echo(metrics_table(read_metrics(result.run)))
    for name in ("best.sdf", "all.csv", "metrics.json", "receptor.pdbqt", "report.html"):
        typer.echo(str(result.run / name))


def _triple(name: str, text: str) -> tuple[float, ...]:
    """Three numbers separated by commas."""
    from .errors import DockingInputError

    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise DockingInputError(
            f"expected {name} as three numbers, such as {name}=15.2,53.9,16.9; got {text!r}"
        )
    return numbers


def cores() -> int:
    """Cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
