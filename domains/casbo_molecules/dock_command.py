"""``casbo dock``: its options, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from casbo.settings import stated

if TYPE_CHECKING:
    from casbo.result import Result

    from .docking_options import DockingOptions
    from .docking_settings import Settings
    from .sizes import Sized
    from .vina import VinaScore

Text = str | None
Number = float | None
Whole = int | None
Texts = list[str] | None

#: Options by what they are about, as ``--help`` shows them.
_box = partial(typer.Option, rich_help_panel="The box")
_receptor = partial(typer.Option, rich_help_panel="The receptor")
_steered = partial(typer.Option, rich_help_panel="What is steered")
_docking = partial(typer.Option, rich_help_panel="Docking")
_model = partial(typer.Option, rich_help_panel="The model")

WRITTEN = ("best.sdf", "all.csv", "metrics.json", "receptor.pdbqt", "report.html")


def dock(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of these settings; the command line wins.")
    ] = None,
    receptor: Annotated[Text, typer.Option(help="The protein: PDB, mmCIF or PDBQT.")] = None,
    out: Annotated[Text, typer.Option(help="The run folder.")] = None,
    ligand: Annotated[
        Text,
        _box(help="A ligand in the pocket (SDF, MOL, MOL2, PDB); its place is the box."),
    ] = None,
    center: Annotated[Text, _box(metavar="X,Y,Z", help="The box's centre in Å.")] = None,
    size: Annotated[Text, _box(metavar="A,B,C", help="Its sides in Å.")] = None,
    residue: Annotated[
        Texts,
        _box(metavar="A:45", help="A residue of the pocket; their place is the box."),
    ] = None,
    padding: Annotated[Number, _box(help="Å added to the extent; 5 by default.")] = None,
    queries: Annotated[Whole, typer.Option(help="Dockings to spend; 640 by default.")] = None,
    atoms: Annotated[
        Text,
        _model(
            metavar="N[,N...]",
            help="Atoms of a molecule, several numbers that share the dockings, or prior; by "
            "default those of the ligand.",
        ),
    ] = None,
    population: Annotated[
        Whole, typer.Option(help="Dockings per iteration; 32 by default.")
    ] = None,
    seed: Annotated[Whole, typer.Option(help="Determines the run; 1 by default.")] = None,
    workers: Annotated[Whole, _docking(help="Docking processes; by default one per core.")] = None,
    deadline: Annotated[Number, _docking(help="Seconds for a docking; 120.")] = None,
    failure_limit: Annotated[
        Number,
        typer.Option(help="Stop when a larger share fails; 0.5, or 0.95 with hard filters."),
    ] = None,
    exhaustiveness: Annotated[
        Whole, _docking(help="Vina's independent searches for each docking; 4.")
    ] = None,
    max_evals: Annotated[
        Whole, _docking(help="Energy evaluations in each; 25000. 0 for Vina's own rule.")
    ] = None,
    vina_seed: Annotated[Whole, _docking(help="Seed of the docking, not 0.")] = None,
    hydrogens: Annotated[
        Text, _receptor(help="auto: add them where the file has none; or add, or keep.")
    ] = None,
    ph: Annotated[Number, _receptor(help="pH at which hydrogens are added; 7.4.")] = None,
    keep: Annotated[
        Texts, _receptor(help="Metal, cofactor or water to keep, such as ZN or A:401.")
    ] = None,
    drop: Annotated[
        Texts, _receptor(help="Residue to remove, such as a ligand named LIG, or A:500.")
    ] = None,
    chains: Annotated[Texts, _receptor(help="Chain to use; all by default.")] = None,
    altloc: Annotated[
        Texts,
        _receptor(help="Alternate location: B, or A:45=B; the most occupied by default."),
    ] = None,
    modified: Annotated[
        Text, _receptor(help="Modified residues such as MSE: keep, standard, drop.")
    ] = None,
    incomplete: Annotated[
        Text, _receptor(help="Residues that lack heavy atoms: keep, drop, refuse.")
    ] = None,
    qed_weight: Annotated[
        Number, _steered(help="kcal/mol that QED = 1 is worth; 8 by default.")
    ] = None,
    sa_weight: Annotated[
        Number,
        _steered(help="kcal/mol that the best synthetic accessibility is worth; 3."),
    ] = None,
    objective: Annotated[
        Text, _steered(help="sum (minimised) or product (of desirabilities, maximised).")
    ] = None,
    term: Annotated[
        Texts,
        _steered(
            metavar="NAME=WEIGHT[,TRANSFORM,NUMBERS]",
            help="A term of it, such as vina=2,ramp,-5,-11 or qed=-8.",
        ),
    ] = None,
    require: Annotated[
        Texts, _steered(metavar="SMARTS", help="What every molecule must have.")
    ] = None,
    forbid: Annotated[Texts, _steered(metavar="SMARTS", help="What no molecule may have.")] = None,
    alerts: Annotated[
        Texts, _steered(help="Structural alerts to refuse: PAINS, BRENK, NIH, ZINC.")
    ] = None,
    max_weight: Annotated[Number, _steered(help="g/mol of a molecule at most.")] = None,
    max_rotatable: Annotated[Whole, _steered(help="Its rotatable bonds at most.")] = None,
    max_ring: Annotated[Whole, _steered(help="Atoms of a ring at most.")] = None,
    buckets: Annotated[
        Whole, _steered(metavar="N", help="Molecules of one scaffold that count.")
    ] = None,
    score_steps: Annotated[
        Text,
        _steered(metavar="K[,K...]", help="Dock what is predicted after these steps as well."),
    ] = None,
    guess_steps: Annotated[
        Text,
        _steered(metavar="K[,K...]", help="Guess the scores of these steps, without dockings."),
    ] = None,
    guess_credit: Annotated[
        Text, _steered(help="What guesses are for: baseline or cumulative.")
    ] = None,
    steps: Annotated[Whole, _model(help="Steps of the diffusion.")] = None,
    model: Annotated[Text, _model(help="targetdiff, edm, or the folder of another model.")] = None,
    checkpoint: Annotated[
        Text, _model(help="Weights of targetdiff (a file) or edm (a folder).")
    ] = None,
    device: Annotated[Text, _model(help="Where the model computes: cpu, cuda.")] = None,
    steer: Annotated[
        Text, _model(metavar="PARTS", help="targetdiff: positions, or positions,types.")
    ] = None,
) -> None:
    """Steer molecules towards a pocket; writes best.sdf, all.csv and report.html."""
    # parameters are read from the context, for only it knows which of them were stated
    from .docking_settings import read_settings
    from .generators import sizes_of

    settings = read_settings(stated(context), config)
    options, vina = checked(settings.options)
    sizes = sizes_of(options, vina, settings.atoms)
    if len(sizes) == 1:
        _steer_one(settings, replace(options, atoms=sizes[0]), vina)
    else:
        _steer_several(settings, options, vina, sizes)


def checked(options: DockingOptions) -> tuple[DockingOptions, VinaScore]:
    """Options with the receptor's digest, once all but the number of atoms has proved sound."""
    from .docking_run import stand_in_of, vina_score
    from .filters import filters_of
    from .generators import generator_of
    from .objectives import objective_of
    from .scaffolds import buckets_of

    for part in (generator_of, objective_of, filters_of, buckets_of, stand_in_of):
        part(options)
    vina = vina_score(options)
    for note in vina.receptor.notes:
        typer.echo(f"receptor: {note}")
    center, size = (", ".join(f"{x:.1f}" for x in row) for row in (vina.box.center, vina.box.size))
    typer.echo(f"box: centre ({center}) Å, sides ({size}) Å")
    incomplete = vina.receptor.incomplete_in(vina.box)
    if incomplete:
        typer.echo(f"box: residues in it without all heavy atoms: {', '.join(incomplete)}")
    return replace(options, receptor_sha256=vina.receptor.sha256()), vina


def say_best(result: Result) -> None:
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
    for name in WRITTEN:
        typer.echo(str(result.run / name))


def say_sizes(found: Sequence[Sized], folder: Path) -> None:
    """How the sizes did, the best one's molecules, and where everything is."""
    from .docking_sizes import table

    best = found[0]
    assert best.result is not None
    say_best(best.result)
    typer.echo(table(found))
    for name in ("best.sdf", "sizes.csv"):
        typer.echo(str(folder / name))


def _steer_one(settings: Settings, options: DockingOptions, vina: VinaScore) -> None:
    from .docking_run import steer_docking

    running = settings.running
    spent = {**running._asdict(), "workers": running.processes}
    say_best(steer_docking(options, vina, **spent))


def _steer_several(
    settings: Settings, options: DockingOptions, vina: VinaScore, sizes: Sequence[int]
) -> None:
    from .docking_sizes import steer_docking_sizes

    found = steer_docking_sizes(options, vina, sizes, settings.running, typer.echo)
    say_sizes(found, Path(options.out))
