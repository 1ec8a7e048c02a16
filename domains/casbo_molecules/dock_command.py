"""``casbo dock``: what it does with its flags, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from casbo.settings import stated

from . import dock_flags as flags

if TYPE_CHECKING:
    from casbo.result import Result

    from .docking_options import DockingOptions
    from .docking_settings import Settings
    from .sizes import Sized
    from .vina import VinaScore

WRITTEN = ("best.sdf", "all.csv", "metrics.json", "receptor.pdbqt", "report.html")


def dock(
    context: typer.Context,
    *,
    config: flags.Config = None,
    receptor: flags.Receptor = None,
    out: flags.Out = None,
    ligand: flags.Ligand = None,
    center: flags.Center = None,
    size: flags.Size = None,
    residue: flags.Residue = None,
    padding: flags.Padding = None,
    queries: flags.Queries = None,
    atoms: flags.Atoms = None,
    population: flags.Population = None,
    seed: flags.Seed = None,
    workers: flags.Workers = None,
    deadline: flags.Deadline = None,
    failure_limit: flags.FailureLimit = None,
    exhaustiveness: flags.Exhaustiveness = None,
    max_evals: flags.MaxEvals = None,
    vina_seed: flags.VinaSeed = None,
    hydrogens: flags.Hydrogens = None,
    ph: flags.Ph = None,
    keep: flags.Keep = None,
    drop: flags.Drop = None,
    chains: flags.Chains = None,
    altloc: flags.Altloc = None,
    modified: flags.Modified = None,
    incomplete: flags.Incomplete = None,
    qed_weight: flags.QedWeight = None,
    sa_weight: flags.SaWeight = None,
    objective: flags.Objective = None,
    term: flags.Term = None,
    require: flags.Require = None,
    forbid: flags.Forbid = None,
    alerts: flags.Alerts = None,
    max_weight: flags.MaxWeight = None,
    max_rotatable: flags.MaxRotatable = None,
    max_ring: flags.MaxRing = None,
    buckets: flags.Buckets = None,
    score_steps: flags.ScoreSteps = None,
    guess_steps: flags.GuessSteps = None,
    guess_credit: flags.GuessCredit = None,
    steps: flags.Steps = None,
    model: flags.Model = None,
    checkpoint: flags.Checkpoint = None,
    device: flags.Device = None,
    steer: flags.Steer = None,
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
