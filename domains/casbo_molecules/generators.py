"""The models that a docking run can steer, by the name that ``--model`` gives them.

Any other name is the folder of a model of this package's own kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import DockingInputError

if TYPE_CHECKING:
    from casbo.rollout import Rollout

    from .docking_options import DockingOptions
    from .targetdiff.pocket import Pocket
    from .vina import VinaScore


@dataclass(frozen=True)
class Generator:
    """A kind of model.

    Parameters
    ----------
    rollout
        Loads it with the options of a run, whose ``atoms`` are set.
    atoms
        How many atoms its molecules have where the user does not say.
    checkpoint
        What ``--checkpoint`` has to name, None where there is nothing to name.
    steerable
        The parts of its noise among which ``--steer`` may choose.
    """

    rollout: Callable[[DockingOptions], Rollout]
    atoms: Callable[[DockingOptions, VinaScore], int]
    checkpoint: str | None = None
    steerable: tuple[str, ...] = ()


def generator_of(options: DockingOptions) -> Generator:
    """The kind of model that these options name.

    Raises
    ------
    DockingInputError
        If the options do not fit it.
    """
    generator = NAMED.get(options.model or "", OWN)
    name = options.model if generator is not OWN else "a model folder"
    if generator.checkpoint is not None and options.checkpoint is None:
        raise DockingInputError(
            f"expected --checkpoint with --model {name}: {generator.checkpoint}"
        )
    if generator.checkpoint is None and options.checkpoint is not None:
        raise DockingInputError(
            f"--checkpoint goes with --model {' or '.join(NAMED)}; the model here is {name}"
        )
    if not set(options.steer) <= set(generator.steerable):
        raise DockingInputError(
            f"expected --steer as parts of {','.join(generator.steerable) or 'nothing'} for {name}, "
            f"got {','.join(options.steer)}"
        )
    return generator


def sizes_of(
    options: DockingOptions, vina: VinaScore, asked: tuple[int, ...] | str | None
) -> tuple[int, ...]:
    """The numbers of atoms that ``--atoms`` asks for.

    Parameters
    ----------
    asked
        Numbers; "prior" for the median of TargetDiff's training ligands in pockets of this size;
        None for what suits the model.
    """
    if asked is None:
        return (generator_of(options).atoms(options, vina),)
    return (_prior_atoms(options),) if isinstance(asked, str) else asked


def _own_rollout(options: DockingOptions) -> Rollout:
    from .device import device_of
    from .rollout import MoleculeRollout

    assert options.atoms is not None
    folder = {} if options.model is None else {"folder": options.model}
    return MoleculeRollout.from_pretrained(
        **folder,
        atoms=options.atoms,
        device=str(device_of(options.device)),
        **(options.sampler or {}),
    )


def _own_atoms(options: DockingOptions, vina: VinaScore) -> int:
    from .docking_run import default_atoms

    return default_atoms(vina, options.ligand)


def _targetdiff_rollout(options: DockingOptions) -> Rollout:
    from .targetdiff.model import TargetDiffModel
    from .targetdiff.rollout import STEERABLE, TargetDiffRollout, steering
    from .targetdiff.sampler import Sampler

    assert options.atoms is not None
    assert options.checkpoint is not None
    sampler = steering(Sampler(**(options.sampler or {})), options.steer or STEERABLE)
    model = TargetDiffModel.from_checkpoint(options.checkpoint, device=options.device)
    return TargetDiffRollout(model, _pocket(options), options.atoms, sampler)


def _targetdiff_atoms(options: DockingOptions, vina: VinaScore) -> int:
    """As many as the ligand's heavy atoms, or the median of the authors' training ligands."""
    del vina
    from .reference_ligand import read_reference_ligand

    if options.ligand is not None:
        return read_reference_ligand(options.ligand).heavy_atoms
    return _prior_atoms(options)


def _prior_atoms(options: DockingOptions) -> int:
    from .targetdiff.size_prior import size_distribution

    return size_distribution(_pocket(options).size).quantile(0.5)


def _pocket(options: DockingOptions) -> Pocket:
    from .structure_file import StructureCleaning
    from .targetdiff.pocket import Pocket

    cleaning = StructureCleaning(
        drop=options.drop,
        chains=options.chains,
        altloc=options.altloc,
        modified=options.modified,  # type: ignore[arg-type]  # checked there
        incomplete=options.incomplete,  # type: ignore[arg-type]
        hydrogens=False,  # the published model has never seen any
    )
    return Pocket.from_file(options.receptor, options.ligand, cleaning=cleaning)


def _edm_rollout(options: DockingOptions) -> Rollout:
    from .edm import EdmRollout

    assert options.checkpoint is not None
    return EdmRollout.from_checkpoint(
        options.checkpoint,
        atoms=options.atoms,
        device=options.device,
        **(options.sampler or {}),
    )


def _edm_atoms(options: DockingOptions, vina: VinaScore) -> int:
    """Hydrogens included, as molecules of the ligand's heavy atoms have them in the training set."""
    from .docking_run import default_atoms
    from .edm.checkpoint import load_dataset
    from .reference_ligand import read_reference_ligand

    assert options.checkpoint is not None
    if options.ligand is None:
        heavy = default_atoms(vina, None)
    else:
        heavy = read_reference_ligand(options.ligand).heavy_atoms
    return load_dataset(options.checkpoint).with_hydrogens(heavy)


#: This package's own kind of model: the shipped one, or a folder.
OWN = Generator(_own_rollout, _own_atoms)

NAMED: Mapping[str, Generator] = {
    "targetdiff": Generator(
        _targetdiff_rollout,
        _targetdiff_atoms,
        checkpoint="TargetDiff's pretrained_diffusion.pt",
        steerable=("positions", "types"),
    ),
    "edm": Generator(_edm_rollout, _edm_atoms, checkpoint="the folder of an EDM checkpoint"),
}
