"""A docking run: from options to model, scorer and objective, and from the result to files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .box import PADDING
from .docking_options import DEADLINE, KEPT, DockingOptions, failure_limit_of
from .elements import LARGEST_MOLECULE, SMALLEST_MOLECULE
from .errors import DockingInputError

if TYPE_CHECKING:
    from casbo.controls import Controls
    from casbo.domains import Problem
    from casbo.result import Result
    from casbo.rollout import Rollout
    from casbo.scorer import Scorer
    from casbo.stand_in import StandIn

    from .vina import VinaScore

VOLUME_PER_ATOM = 40.0  # Å^3 of the box, padding aside, for each heavy atom of a default molecule


def vina_score(options: DockingOptions) -> VinaScore:
    """Prepare the receptor and check the box: all that can be wrong with a user's files.

    Raises
    ------
    DockingInputError
        With the residue, atom, line or number that is wrong, and the fix; also if the receptor is
        no longer the one that the run began with.
    """
    from .receptor import Preparation, prepare_receptor
    from .vina import VinaScore

    preparation = Preparation(
        hydrogens=options.hydrogens,  # type: ignore[arg-type]  # checked there
        ph=options.ph,
        keep=options.keep,
        drop=options.drop,
        chains=options.chains,
        altloc=options.altloc,
        modified=options.modified,  # type: ignore[arg-type]
        incomplete=options.incomplete,  # type: ignore[arg-type]
    )
    receptor = prepare_receptor(options.receptor, preparation)
    if options.receptor_sha256 not in (None, receptor.sha256()):
        raise DockingInputError(
            f"{options.receptor}: prepared, it is no longer the receptor that this run began "
            "with; restore the file, or start a new run"
        )
    return VinaScore(
        receptor,
        ligand=options.ligand,
        residues=options.residues or None,
        center=options.center,
        size=options.size,
        padding=options.padding,
        exhaustiveness=options.exhaustiveness,
        max_evals=options.max_evals,
        seed=options.vina_seed,
    )


def default_atoms(vina: VinaScore, ligand: str | None) -> int:
    """Heavy atoms: as many as the reference ligand has, or as suit the box's volume."""
    from .reference_ligand import read_reference_ligand

    if ligand is not None:
        wanted = read_reference_ligand(ligand).heavy_atoms
    else:
        x, y, z = (max(side - PADDING, 1.0) for side in vina.box.size)
        wanted = round(x * y * z / VOLUME_PER_ATOM)
    return min(max(wanted, SMALLEST_MOLECULE), LARGEST_MOLECULE)


def scorer_of(options: DockingOptions, vina: VinaScore) -> Scorer:
    """Docking and chemistry, of molecules that pass the filters asked for."""
    from .docking_score import DockingScore
    from .filters import Filtered, filters_of

    filters, score = filters_of(options), DockingScore(vina)
    return Filtered(score, filters) if filters else score


def build(options: DockingOptions, vina: VinaScore | None = None) -> Problem:
    """Build rollout, scorer and objective from complete options (``atoms`` is set).

    Raises
    ------
    casbo.errors.CasboError
        If the receptor, the box, the model or what is steered cannot be used.
    """
    from casbo.domains import Problem

    from .objectives import objective_of
    from .scaffolds import buckets_of

    vina = vina or vina_score(options)
    vina.box.require_room(options.atoms or 1)
    return Problem(
        rollout=molecule_rollout(options),
        scorer=scorer_of(options, vina),
        objective=objective_of(options).objective,
        buckets=buckets_of(options),
        stand_in=stand_in_of(options),
        finish=partial(write_outputs, vina=vina),
    )


def stand_in_of(options: DockingOptions) -> StandIn | None:
    """What is guessed at unfinished steps.

    Raises
    ------
    casbo.errors.CasboError
        If its steps or its credit cannot be used.
    """
    from casbo.stand_in import StandIn

    if not options.guess_steps:
        return None
    return StandIn(options.guess_steps, credit=options.guess_credit)  # type: ignore[arg-type]


def molecule_rollout(options: DockingOptions) -> Rollout:
    """The diffusion model of these options.

    Raises
    ------
    casbo.errors.CasboError
        If it cannot be loaded, or the options do not fit it.
    """
    from .generators import generator_of

    return generator_of(options).rollout(options)


def steer_docking(
    options: DockingOptions,
    vina: VinaScore,
    *,
    queries: int,
    population: int,
    seed: int,
    workers: int,
    deadline: float = DEADLINE,
    failure_limit: float | None = None,
    outputs: bool = True,
) -> Result:
    """Run, or go on with, the steering of these options; with ``outputs`` write them.

    Raises
    ------
    casbo.errors.CasboError
        If settings do not fit together, the folder is another run's, or too much fails.
    """
    from casbo.steering import steer

    from .command import domain
    from .objectives import objective_of

    problem = build(options, vina)
    result = steer(
        problem.rollout,
        problem.scorer,
        **problem.steering_options(),
        direction=objective_of(options).direction,
        score_steps=options.score_steps,
        run=options.out,
        queries=queries,
        population=population,
        seed=seed,
        workers=workers,
        deadline=deadline,
        failure_limit=failure_limit_of(options, failure_limit),
        keep=KEPT,
        progress=True,
        domain=domain.config(options.to_json()),
    )
    if outputs:
        write_outputs(result, vina)
    return result


def dock_samples(
    options: DockingOptions,
    vina: VinaScore,
    controls: Controls | None,
    *,
    n: int,
    seed: int,
    workers: int,
    label: str | None = None,
) -> str:
    """Dock n samples of controls, or of the plain model; return their label in the ledger."""
    from casbo.evaluation import evaluate

    from .objectives import objective_of

    problem = build(options, vina)
    label = label or f"{'plain' if controls is None else 'fresh'}-{seed}"
    evaluate(
        controls,
        problem.rollout,
        problem.scorer,
        n=n,
        seed=seed,
        objective=problem.objective,
        direction=objective_of(options).direction,
        run=options.out,
        label=label,
        workers=workers,
        deadline=DEADLINE,
    )
    return label


def write_outputs(result: Result, vina: VinaScore) -> None:
    """Write ``best.sdf``, ``all.csv``, ``receptor.pdbqt`` and ``metrics.json`` into the run folder.

    The report, which shows them, is written anew.

    Raises
    ------
    casbo.errors.CasboError
        If nothing could be docked or a file cannot be written.
    """
    from casbo.atomic import write_atomically

    from .run_metrics import record_metrics
    from .tables import scored_molecules, write_all, write_poses

    assert result.run is not None
    write_atomically(result.run / "receptor.pdbqt", vina.receptor.pdbqt.read_bytes())
    write_all(scored_molecules(result.run), result.run / "all.csv")
    best = {}
    for found in result.bests():
        best.setdefault(found.sample.smiles, found)
    poses = vina.poses([found.sample for found in best.values()])
    docked = [
        (pose, found.scores)
        for pose, found in zip(poses, best.values(), strict=True)
        if pose is not None
    ]
    if not docked:
        raise DockingInputError(
            f"{result.run}: no molecule could be docked; all.csv says why for each query"
        )
    write_poses([pose for pose, _ in docked], [row for _, row in docked], result.run / "best.sdf")
    record_metrics(result.run, vina, [pose for pose, _ in docked])
