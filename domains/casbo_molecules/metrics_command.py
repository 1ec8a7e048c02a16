"""``casbo metrics``: the numbers that papers report, of a docking run that is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def metrics(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a docking run.")],
    known: Annotated[
        Path | None, typer.Option(help="SMILES, one a line, that are not novel (a training set).")
    ] = None,
) -> None:
    """Measure a docking run: writes metrics.json and its report anew, and prints the table."""
    from casbo.run_folder import RunFolder

    from .docking_run import DockingOptions, vina_score
    from .errors import DockingInputError
    from .metrics import read_known
    from .metrics.table import metrics_table
    from .run_metrics import record_metrics
    from .tables import read_poses

    entry = RunFolder.existing(run).read_config().get("domain") or {}
    if entry.get("name") != "molecules":
        raise DockingInputError(f"{run}: expected a docking run, got one of another kind")
    poses = read_poses(run / "best.sdf")
    if not poses:
        raise DockingInputError(f"{run}: no docked molecules in best.sdf; finish the run first")
    smiles = None if known is None else read_known(known)
    vina = vina_score(DockingOptions.from_json(entry["options"]))
    measured = record_metrics(run, vina, poses, known=smiles)
    typer.echo(metrics_table(measured.metrics.as_dict()))
    typer.echo(str(run / "metrics.json"))
