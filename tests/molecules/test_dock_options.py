"""``casbo dock`` with filters, buckets, products and several sizes: stored, and resumed as asked."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from molecule_choice import MoleculeChoice, chosen
from molecule_samples import DRUG_LIKE, conformer
from typer.testing import CliRunner

import casbo.cli
import casbo.domains
import casbo.steering
from casbo.rollout import Rollout, Trajectories
from casbo.workers import open_scoring
from casbo_molecules import docking_run, docking_score
from casbo_molecules.candidates import score_each
from casbo_molecules.docking_options import DockingOptions
from casbo_molecules.molecule import Molecule
from casbo_molecules.properties import properties

CHOICES = [Molecule.from_mol(conformer(smiles)) for smiles in DRUG_LIKE]
SEARCH = ["--exhaustiveness=1", "--max-evals=500", "--population=4", "--workers=1"]
BOX = ["--center=2,1,1", "--size=12,12,12"]


def stand_in(options: DockingOptions) -> Rollout:
    """In the model's place: molecules that depend on the noise, and on the size asked for."""
    return MoleculeChoice(CHOICES, options.atoms or 0)


class Predicting(Rollout):
    """Molecules that depend on the noise, known after every step."""

    shape = (4, 3)

    def __call__(self, noise: torch.Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        so_far = noise[..., 0].cumsum(1)
        return Trajectories(
            chosen(CHOICES, so_far[:, -1]),
            {step: chosen(CHOICES, so_far[:, step]) for step in predict},
        )

    def identify(self, sample: Molecule) -> str | None:
        return sample.smiles

    def point(self, sample: Molecule) -> torch.Tensor:
        return torch.tensor([float(sample.require().GetNumAtoms())], dtype=torch.float64)


class QuickScore(docking_score.DockingScore):
    """In the docking's place: an energy by size."""

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        return score_each(samples, self.components, self._quick)

    @staticmethod
    def _quick(molecule: Molecule) -> dict[str, float]:
        chemistry = properties(molecule.require())
        return {"vina": -chemistry["molecular_weight"] / 25, **chemistry}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score in this process; starting one that docks takes seconds."""
    monkeypatch.setattr(docking_score, "DockingScore", QuickScore)
    here = partial(open_scoring, workers=0, deadline=None)
    monkeypatch.setattr(casbo.steering, "open_scoring", lambda scorer, **_: here(scorer))


@pytest.fixture(autouse=True)
def _no_model(only_this_domain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docking_run, "molecule_rollout", stand_in)


@pytest.fixture
def site(protein: Path) -> list[str]:
    return [f"--receptor={protein}", *BOX, *SEARCH]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as lines:
        return list(csv.DictReader(lines))


@pytest.mark.usefixtures("_quick")
def test_filters_buckets_and_products_are_resumed(
    tmp_path: Path, site: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in two parts is the run in one: what is in the buckets follows from the ledger."""
    monkeypatch.setattr(docking_run, "write_outputs", lambda result, vina: None)
    asked = [*site, "--atoms=10", "--objective=product", "--forbid=[F,Cl]", "--max-ring=9"]
    filled = [*asked, "--buckets=1"]
    assert casbo.cli.run(["dock", f"--out={tmp_path / 'whole'}", *filled, "--queries=24"]) == 0
    assert casbo.cli.run(["dock", f"--out={tmp_path / 'parts'}", *filled, "--queries=12"]) == 0
    assert casbo.cli.run(["resume", str(tmp_path / "parts"), "--queries=24"]) == 0
    assert casbo.cli.run(["dock", f"--out={tmp_path / 'open'}", *asked, "--queries=24"]) == 0
    whole, parts, unfiltered = (ledger(tmp_path / name) for name in ("whole", "parts", "open"))
    assert whole == parts
    assert whole != unfiltered  # full buckets change what is tried next
    assert any(score is None for _, score in whole)
    for smiles, score in whole:
        assert (score is None) == bool({"F", "l"} & set(smiles))
        assert score is None or 0 <= score <= 1
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["direction"] == "maximize"
    assert config["failure_limit"] == 0.95
    assert config["buckets"] == {
        "buckets": "ScaffoldBuckets",
        "kind": "murcko",
        "size": 1,
        "threshold": None,
    }
    stored = config["domain"]["options"]
    assert (stored["objective"], stored["forbid"], stored["buckets"]) == ("product", ["[F,Cl]"], 1)


@pytest.mark.usefixtures("_quick")
def test_steps_are_scored_or_guessed_and_resumed(
    tmp_path: Path, site: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docking_run, "write_outputs", lambda result, vina: None)
    monkeypatch.setattr(docking_run, "molecule_rollout", lambda options: Predicting())
    asked = ["dock", *site, "--atoms=10"]
    guessed = [*asked, "--guess-steps=0,2"]
    assert casbo.cli.run([*guessed, f"--out={tmp_path / 'whole'}", "--queries=32"]) == 0
    assert casbo.cli.run([*guessed, f"--out={tmp_path / 'parts'}", "--queries=24"]) == 0
    assert casbo.cli.run(["resume", str(tmp_path / "parts"), "--queries=32"]) == 0
    assert casbo.cli.run([*asked, f"--out={tmp_path / 'plain'}", "--queries=32"]) == 0
    scored = [*asked, f"--out={tmp_path / 'scored'}", "--score-steps=0,2", "--queries=36"]
    assert casbo.cli.run(scored) == 0
    whole, parts, plain = (ledger(tmp_path / name) for name in ("whole", "parts", "plain"))
    assert whole == parts
    assert len(whole) == len(plain) == 32
    assert whole[:20] == plain[:20]  # nothing is guessed before enough is known
    assert whole != plain
    assert len(ledger(tmp_path / "scored")) == 36  # three queries a candidate
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert config["stand_in"] == {"steps": [0, 2], "credit": "baseline", "window": 256}


def ledger(run: Path) -> list[tuple[str, float | None]]:
    from casbo.run_folder import RunFolder

    opened = RunFolder.existing(run).open_ledger()
    try:
        return [(row["sample"], row["score"]) for row in opened.rows()]
    finally:
        opened.close()


@pytest.mark.usefixtures("_quick")
def test_a_file_of_settings_is_a_command_line(
    tmp_path: Path, site: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docking_run, "write_outputs", lambda result, vina: None)
    path = tmp_path / "run.toml"
    path.write_text(
        'atoms = 10\nqueries = 4\nmax_weight = 400\nterm = ["vina=1", "qed=-8,clip,0,0.7"]\n'
    )
    run = tmp_path / "run"
    result = CliRunner().invoke(
        casbo.cli.make_app(casbo.cli.load_domains()),
        ["dock", f"--config={path}", f"--out={run}", *site],
    )
    assert result.exit_code == 0, result.output
    config = json.loads((run / "config.json").read_text())
    assert (config["queries"], config["direction"]) == (4, "minimize")
    assert config["objective"]["terms"]["qed"]["high"] == 0.7
    assert config["domain"]["options"]["max_weight"] == 400


BAD = {
    "term": (["--term=affinity=1"], "expected --term with one of vina"),
    "objective": (["--objective=mean"], "expected --objective as sum or product"),
    "pattern": (["--forbid=nonsense["], "expected a SMARTS pattern"),
    "alerts": (["--alerts=PAIN"], "expected catalogues of PAINS"),
    "weight": (["--max-weight=-3"], "of 0 or more"),
    "buckets": (["--buckets=0"], "buckets of size >= 1"),
    "modified": (["--modified=mutate"], "--modified as keep, standard, drop"),
    "incomplete": (["--incomplete=refuse", "--receptor=cut.pdb"], "GLY A:2 lacks O"),
    "altloc": (["--altloc=AB"], "expected an alternate location"),
    "nothing to keep": (["--keep=ZN"], "no residue ZN for --keep"),
    "place": (["--drop=A:"], "expected residues by name"),
    "no file": (["--config=absent.toml"], "Expected a TOML file in absent.toml"),
    "no TOML": (["--config=cut.pdb"], "Expected a TOML file in cut.pdb"),
    "unknown": (["--config=unknown.toml"], "none is called 'colour'"),
    "an odd population": (["--population=5", "--atoms=9,10"], "expected an even --population"),
    "few for sizes": (["--atoms=9,10,11", "--queries=64"], "ask for 192"),
    "sizes without room": (["--atoms=9,900"], "no room for 900 heavy atoms"),
    "steps to guess": (["--guess-steps=two"], "expected --guess-steps as steps"),
    "order of steps": (["--guess-steps=3,1"], "ascending numbers"),
    "credit": (["--guess-steps=1", "--guess-credit=x"], "credit among"),
    "failures": (["--failure-limit=2"], "--failure-limit above 0 and up to 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_costs_one_line_and_nothing_else(
    case: str, tmp_path: Path, protein: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    (tmp_path / "cut.pdb").write_text("".join(protein.read_text().splitlines(True)[:-1]))
    (tmp_path / "unknown.toml").write_text("colour = 1\n")
    monkeypatch.chdir(tmp_path)
    options, words = BAD[case]
    given = ["--out=run", f"--receptor={protein}", *BOX, *options]
    before = sorted(path.name for path in tmp_path.iterdir())
    assert casbo.cli.run(["dock", *given]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert words in line
    assert sorted({*(path.name for path in tmp_path.iterdir()), "cache"}) == sorted(
        {*before, "cache"}
    )


def interrupted(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Let the run of some size be interrupted once, at its n-th steering."""
    real, calls = docking_run.steer_docking, []

    def steer_docking(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(docking_run, "steer_docking", steer_docking)


@pytest.mark.usefixtures("_quick")
def test_sizes_share_the_dockings_and_are_resumed(
    tmp_path: Path, site: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(docking_run, "write_outputs", some_outputs)
    asked = [*site, "--atoms=9,10,11", "--queries=24"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert casbo.cli.run(["dock", f"--out={whole}", *asked]) == 0
    sizes = table(whole / "sizes.csv")
    assert {row["atoms"] for row in sizes} == {"9", "10", "11"}
    assert [row["dropped_after_round"] for row in sizes] == ["", "2", "1"]
    assert [int(row["dockings"]) for row in sizes] == [8, 8, 4]
    rows = table(whole / "all.csv")
    assert len(rows) == 20
    assert {row["atoms"] for row in rows} == {"9", "10", "11"}
    assert sum(row["atoms"] == sizes[0]["atoms"] for row in rows) == 8
    assert "9 atoms: up to 4 dockings" in capfd.readouterr().out

    with monkeypatch.context() as patch:
        interrupted(patch, call=5)
        assert casbo.cli.run(["dock", f"--out={parts}", *asked]) == 130
    assert casbo.cli.run(["sample", str(parts)]) == 2
    assert "name one of atoms-10, atoms-11, atoms-9" in capfd.readouterr().err
    assert casbo.cli.run(["resume", str(parts)]) == 0
    for name in ("sizes.csv", "all.csv", "best.sdf"):
        assert (parts / name).read_text() == (whole / name).read_text()
    assert casbo.cli.run(["resume", str(parts), "--queries=48"]) == 0
    assert sum(int(row["dockings"]) for row in table(parts / "sizes.csv")) > 24

    assert casbo.cli.run(["dock", f"--out={whole}", *asked, "--seed=2"]) == 2
    assert "got others (seed: runs 1, asked 2)" in capfd.readouterr().err
    assert casbo.cli.run(["dock", f"--out={whole}", *site, "--atoms=9", "--queries=8"]) == 2
    (whole / "parts.json").write_text("{}")
    assert casbo.cli.run(["resume", str(whole)]) == 2
    assert "Could not read what the runs are" in capfd.readouterr().err


def some_outputs(result: Any, vina: Any) -> None:
    """The files of a run that are put together, with the samples as poses."""
    del vina
    from casbo_molecules.tables import scored_molecules, write_all, write_poses

    best = result.bests(2)
    write_all(scored_molecules(result.run), result.run / "all.csv")
    write_poses(
        [one.sample.mol for one in best], [one.scores for one in best], result.run / "best.sdf"
    )


def test_foreign_folders_are_left_alone(tmp_path: Path, protein: Path, capfd: Any) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    given = [f"--receptor={protein}", *BOX, f"--out={folder}"]
    assert casbo.cli.run(["dock", *given, "--atoms=9,10"]) == 2
    assert "Choose another folder" in capfd.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_sizes_with_all_outputs(
    tmp_path: Path, target_files: tuple[Path, Path], capfd: Any
) -> None:
    """Nothing replaced but the model: an ordinary run folder for each size, and the whole."""
    run = tmp_path / "run"
    site = [f"--receptor={target_files[0]}", "--center=3,0.5,10", "--size=12,12,12", *SEARCH]
    site.append("--forbid=[F,Cl]")
    assert casbo.cli.run(["dock", f"--out={run}", *site, "--atoms=9,10", "--queries=16"]) == 0
    problems = {row["smiles"]: row["problem"] for row in table(run / "all.csv")}
    for smiles, problem in problems.items():
        assert problem.startswith("filter: has [F,Cl]") == bool({"F", "l"} & set(smiles))
    for part in ("atoms-9", "atoms-10"):
        for name in ("best.sdf", "all.csv", "metrics.json", "report.html"):
            assert (run / part / name).stat().st_size > 0
    printed = capfd.readouterr().out
    assert "mean of best 5" in printed
    assert casbo.cli.run(["metrics", str(run / "atoms-9")]) == 0
    assert casbo.cli.run(["resume", str(run / "atoms-9"), "--queries=12"]) == 0
