"""``casbo dock --model targetdiff``: end to end, resumed, and what its options refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import casbo.cli
import casbo.domains
from casbo_molecules.command import domain
from casbo_molecules.docking_run import DockingOptions, molecule_rollout
from casbo_molecules.errors import DockingInputError
from casbo_molecules.generators import NAMED, generator_of
from casbo_molecules.targetdiff import TargetDiffRollout


@pytest.fixture(autouse=True)
def _only_this_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = casbo.domains.LoadedDomains({"molecules": domain})
    monkeypatch.setattr(casbo.cli, "load_domains", lambda: loaded)
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)


@pytest.fixture
def arguments(reference: Path, site: tuple[Path, Path]) -> list[str]:
    """A short run of the reference's small, untrained model."""
    return [
        "--model=targetdiff",
        f"--checkpoint={reference / 'small_checkpoint_official_layout.pt'}",
        f"--receptor={site[0]}",
        f"--ligand={site[1]}",
        "--atoms=9",
        "--steps=2",
        "--population=4",
        "--workers=1",
        "--exhaustiveness=1",
        "--max-evals=500",
    ]


def test_where_no_sample_is_a_molecule_one_line_says_so(arguments, tmp_path, capfd):
    """Random weights make separate atoms: the run ends with the cause, and can be looked into."""
    run = tmp_path / "run"
    given = ["dock", f"--out={run}", *arguments, "--atoms=30", "--queries=4"]
    assert casbo.cli.run(given) == 2
    (line,) = [text for text in capfd.readouterr().err.splitlines() if text.startswith("casbo:")]
    assert "no molecule could be docked; all.csv says why" in line
    assert (run / "all.csv").read_text().count("separate pieces") == 4
    options = json.loads((run / "config.json").read_text())["domain"]["options"]
    assert (options["model"], options["steer"], options["device"]) == ("targetdiff", [], "cpu")


def test_dock_then_resume(arguments, tmp_path, capfd):
    """The whole command: a few of so small molecules hold together even with random weights."""
    run = tmp_path / "run"
    assert casbo.cli.run(["dock", f"--out={run}", *arguments, "--queries=8"]) == 0
    before = (run / "all.csv").read_text().splitlines()
    assert casbo.cli.run(["resume", str(run), "--queries", "12"]) == 0
    after = (run / "all.csv").read_text().splitlines()
    assert (len(before), len(after)) == (9, 13)
    assert after[:9] == before
    for name in ("best.sdf", "receptor.pdbqt", "report.html"):
        assert (run / name).stat().st_size > 0
    assert "1. " in capfd.readouterr().out


BAD = {
    "no checkpoint": (["--model=targetdiff"], "expected --checkpoint with --model targetdiff"),
    "no edm checkpoint": (["--model=edm"], "expected --checkpoint with --model edm"),
    "checkpoint of nothing": (["--checkpoint=x.pt"], "--checkpoint goes with --model targetdiff"),
    "absent": (["--model=targetdiff", "--checkpoint=absent.pt"], "absent.pt: no such file"),
    "damaged": (["--model=targetdiff", "--checkpoint=bad.pt"], "bad.pt: damaged"),
    "steering": (
        ["--model=targetdiff", "--checkpoint=bad.pt", "--steer=charges"],
        "--steer as parts of positions,types",
    ),
    "steering the shipped model": (["--steer=types"], "--steer as parts of nothing"),
    "atoms": (["--atoms=many"], "--atoms as a number, several different ones"),
    "no such device": (["--device=abacus"], "expected a device of this machine"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_options_cost_one_line_and_nothing_else(case, site, tmp_path, monkeypatch, capfd):
    (tmp_path / "bad.pt").write_bytes(b"not a checkpoint")
    monkeypatch.chdir(tmp_path)
    options, words = BAD[case]
    given = ["dock", "--out=run", f"--receptor={site[0]}", f"--ligand={site[1]}", *options]
    assert casbo.cli.run([*given, "--queries=64"]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert words in line
    assert not (tmp_path / "run").exists()


def options_for(reference, site, **changes) -> DockingOptions:
    return DockingOptions(
        out="run",
        receptor=str(site[0]),
        **{
            "ligand": str(site[1]),
            "model": "targetdiff",
            "checkpoint": str(reference / "small_checkpoint_official_layout.pt"),
            **changes,
        },
    )


def test_options_reach_the_model(reference, site):
    options = options_for(reference, site, atoms=7, sampler={"steps": 5}, steer=("positions",))
    again = DockingOptions.from_json(json.loads(json.dumps(options.to_json())))
    assert again == options
    rollout = molecule_rollout(again)
    assert isinstance(rollout, TargetDiffRollout)
    assert rollout.shape == (5, 21)
    assert len(rollout.pocket.positions) == 572


def test_default_numbers_of_atoms(reference, site):
    """The ligand's heavy atoms; without a ligand, the median for a pocket of this size."""
    options = options_for(reference, site)
    assert generator_of(options).atoms(options, None) == 25
    alone = options_for(reference, site, ligand=None)
    assert 30 <= generator_of(alone).atoms(alone, None) <= 36


def test_only_named_models_take_a_checkpoint(reference, site):
    for model in NAMED:
        with pytest.raises(DockingInputError, match="--checkpoint with"):
            generator_of(options_for(reference, site, model=model, checkpoint=None))
