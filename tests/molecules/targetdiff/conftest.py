"""Reference numbers of the authors' code where they are, and a tiny model and pocket anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from targetdiff_samples import TINY, random_pocket

from casbo_molecules.targetdiff import Pocket, TargetDiffConfig, TargetDiffModel
from casbo_molecules.targetdiff.network import TargetDiffNetwork


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    """The folder of reference numbers."""
    folder = shared / "reference" / "targetdiff"
    if not folder.is_dir():
        pytest.skip(f"needs the reference numbers in {folder}")
    return folder


@pytest.fixture(scope="session")
def inputs(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "inputs.safetensors")


@pytest.fixture(scope="session")
def outputs(reference: Path) -> dict[str, torch.Tensor]:
    return load_file(reference / "outputs.safetensors")


@pytest.fixture(scope="session")
def small(reference: Path) -> TargetDiffModel:
    """The reference's small model, from its plain weights."""
    options = json.loads((reference / "small_config.json").read_text())
    config = TargetDiffConfig.from_official(options["model"], options["ligand_atom_mode"])
    network = TargetDiffNetwork(config)
    network.load_state_dict(load_file(reference / "small_state_dict.safetensors"), strict=True)
    return TargetDiffModel(network.requires_grad_(False).eval())


@pytest.fixture(scope="session")
def site(shared: Path) -> tuple[Path, Path]:
    """A pocket's PDB file and the SDF file of its ligand."""
    stem = shared / "receptors" / "1h36" / "1h36_A_rec_1h36_r88_lig_tt_docked_0"
    return Path(f"{stem}_pocket10.pdb"), Path(f"{stem}.sdf")


@pytest.fixture(scope="session")
def tiny() -> TargetDiffModel:
    """Random weights: every law here is one of the code."""
    return TargetDiffModel.untrained(TINY, seed=1)


@pytest.fixture(scope="session")
def pocket() -> Pocket:
    """Forty random atoms."""
    return random_pocket(40, seed=2)
