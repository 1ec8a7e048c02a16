"""``casbo dock --model edm``: from an official folder to a run and its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edm_samples import ARGUMENTS, official_folder, small_model

import casbo.cli
import casbo.domains
from casbo_molecules.command import domain
from casbo_molecules.docking_run import DockingOptions, molecule_rollout
from casbo_molecules.edm import EdmRollout


@pytest.fixture(autouse=True)
def _only_this_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = casbo.domains.LoadedDomains({"molecules": domain})
    monkeypatch.setattr(casbo.cli, "load_domains", lambda: loaded)
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)


@pytest.mark.parametrize(("chosen", "atoms"), [(["--atoms=5"], 5), ([], 29)])
def test_a_run_ends_with_its_files_or_says_that_nothing_was_a_molecule(
    target_files: tuple[Path, Path], tmp_path: Path, capfd, chosen: list[str], atoms: int
) -> None:
    folder = official_folder(tmp_path / "edm", small_model(), ARGUMENTS)
    run = tmp_path / "run"
    status = casbo.cli.run(
        [
            "dock",
            f"--out={run}",
            "--model=edm",
            f"--checkpoint={folder}",
            f"--receptor={target_files[0]}",
            f"--ligand={target_files[1]}",
            *chosen,
            "--steps=3",
            "--population=4",
            "--queries=4",
            "--workers=1",
            "--exhaustiveness=1",
            "--max-evals=500",
        ]
    )
    said = capfd.readouterr().err
    if status != 0:
        assert status == 2
        assert "no molecule could be docked; all.csv says why" in said
    assert (run / "best.sdf").exists() == (status == 0)
    assert len((run / "all.csv").read_text().splitlines()) == 5
    options = json.loads((run / "config.json").read_text())["domain"]["options"]
    rollout = molecule_rollout(DockingOptions.from_json(options))
    assert isinstance(rollout, EdmRollout)
    # the ligand has more heavy atoms than QM9 has: then the largest size that was trained on
    assert options["atoms"] == atoms
    assert rollout.shape[0] == 1 + 3 + 1  # the start, the steps, and the draw of the molecule
