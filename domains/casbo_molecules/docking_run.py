"""A docking run: from options to model, scorer and objective, and from the result to files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from casbo.errors import CasboError
from casbo.options import RunOptions

from .box import PADDING
from .elements import LARGEST_MOLECULE, SMALLEST_MOLECULE
from .errors import DockingInputError

if TYPE_CHECKING:
    from casbo.controls import Controls
    from casbo.domains import Problem
    from casbo.objective import Objective
    from casbo.result import Result
    from casbo.rollout import Rollout

    from .vina import VinaScore

DEADLINE = 120.0  # seconds for one docking, a hundred times what one takes
KEPT = 20  # molecules in best.sdf
VOLUME_PER_ATOM = 40.0  # Å^3 of the box, padding aside, for each heavy atom of a default molecule

#: A search that is nearly as good as Vina's default for ranking and 30 times faster; docs/docking.md.
FAST_EXHAUSTIVENESS = 4
FAST_EVALUATIONS = 25_000


@dataclass(frozen=True)
class DockingOptions(RunOptions):
    """Everything that a docking run is built from, as JSON values.

    Parameters
    ----------
    out
        The run folder.
    receptor, ligand
        Paths; ``ligand`` may be None when ``center`` and ``size`` are given.
    center, size
        The box in Å, or None to take it from the ligand or the residues.
    residues
        Residues that line the pocket, such as ``("A:45", "A:102")``: their place is the box.
    padding
        Å added to the ligand's extent along each axis.
    atoms
        Atoms of every molecule; None for what the model's :class:`~.generators.Generator` takes.
    model
        A name of :data:`.generators.NAMED` or a folder, None for the shipped model.
    checkpoint, device, steer
        File or folder of a named model's weights; where it computes; which parts of its noise are
        steered, all if none is named.
    sampler
        Options of the model's own sampler.
    exhaustiveness, max_evals, vina_seed
        Of :class:`~casbo_molecules.vina.VinaScore`.
    hydrogens, ph, keep, drop, chains
        Of :class:`~casbo_molecules.receptor.Preparation`.
    qed_weight, sa_weight
        Of :func:`~casbo_molecules.docking_score.docking_objective`; None for its own.
    receptor_sha256
        Digest of the prepared receptor when the run began; None before.
    """

    error: ClassVar[type[CasboError]] = DockingInputError

    out: str
    receptor: str
    ligand: str | None = None
    center: tuple[float, ...] | None = None
    size: tuple[float, ...] | None = None
    padding: float = PADDING
    atoms: int | None = None
    model: str | None = None
    checkpoint: str | None = None
    device: str = "cpu"
    steer: tuple[str, ...] = ()
    sampler: Mapping[str, Any] | None = None
    exhaustiveness: int = FAST_EXHAUSTIVENESS
    max_evals: int = FAST_EVALUATIONS
    vina_seed: int = 42
    hydrogens: str = "auto"
    ph: float = 7.4
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    qed_weight: float | None = None
    sa_weight: float | None = None
    receptor_sha256: str | None = None
    residues: tuple[str, ...] = ()


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


def objective(options: DockingOptions) -> Objective:
    """The number that is steered."""
    from .docking_score import QED_WEIGHT, SA_WEIGHT, docking_objective

    return docking_objective(
        QED_WEIGHT if options.qed_weight is None else options.qed_weight,
        SA_WEIGHT if options.sa_weight is None else options.sa_weight,
    )


def build(options: DockingOptions, vina: VinaScore | None = None) -> Problem:
    """Build rollout, scorer and objective from complete options (``atoms`` is set).

    Raises
    ------
    casbo.errors.CasboError
        If the receptor, the box or the model cannot be used.
    """
    from casbo.domains import Problem

    from .docking_score import DockingScore

    vina = vina or vina_score(options)
    vina.box.require_room(options.atoms or 1)
    return Problem(
        rollout=molecule_rollout(options),
        scorer=DockingScore(vina),
        objective=objective(options),
        finish=partial(write_outputs, vina=vina),
    )


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
) -> Result:
    """Run, or go on with, the steering of these options and write its outputs.

    Raises
    ------
    casbo.errors.CasboError
        If settings do not fit together, the folder is another run's, or too much fails.
    """
    from casbo.steering import steer

    from .command import domain

    problem = build(options, vina)
    result = steer(
        problem.rollout,
        problem.scorer,
        **problem.steering_options(),
        run=options.out,
        queries=queries,
        population=population,
        seed=seed,
        workers=workers,
        deadline=deadline,
        keep=KEPT,
        progress=True,
        domain=domain.config(options.to_json()),
    )
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
) -> str:
    """Dock n samples of controls, or of the plain model; return their label in the ledger."""
    from casbo.evaluation import evaluate

    problem = build(options, vina)
    label = f"{'plain' if controls is None else 'fresh'}-{seed}"
    evaluate(
        controls,
        problem.rollout,
        problem.scorer,
        n=n,
        seed=seed,
        objective=problem.objective,
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
