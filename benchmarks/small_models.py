"""The small models that casbo_molecules.training makes, as rollouts: EDM and TargetDiff alike."""

from __future__ import annotations

from pathlib import Path

from casbo_molecules.edm import EdmRollout
from casbo_molecules.edm import Sampler as EdmSampler
from casbo_molecules.edm import load_model as load_edm
from casbo_molecules.molecules_rollout import MoleculesRollout
from casbo_molecules.targetdiff import Sampler, TargetDiffModel, TargetDiffRollout
from casbo_molecules.training.targetdiff import demonstration_pocket

MICROBATCH = 50  # small networks: a molecule alone would leave a core idle


def small_rollout(
    folder: Path, atoms: int, *, steps: int, eta: float, types: str = "steered", seed: int = 0
) -> MoleculesRollout:
    """The rollout of a trained model; its folder tells which kind it is.

    Arguments:
        folder: Written by casbo_molecules.training.edm or .targetdiff.
        atoms: Heavy atoms of every molecule.
        steps, eta: Of the sampler.
        types: What becomes of the noise of types: "steered", "frozen", or for TargetDiff "argmax".
        seed: Of frozen noise of types.

    Raises:
        CasboError: When the folder holds neither, or an option does not fit.
    """
    if (folder / "args.json").is_file():
        steer = ("positions", "types") if types == "steered" else ("positions",)
        return EdmRollout(
            load_edm(folder),
            atoms,
            sampler=EdmSampler(steps, eta),
            steer=steer,
            frozen_seed=seed,
            microbatch=MICROBATCH,
        )
    return TargetDiffRollout(
        TargetDiffModel.from_checkpoint(folder),
        demonstration_pocket()[1],
        atoms,
        Sampler(steps, eta, types, seed),
        microbatch=MICROBATCH,
    )
