"""The docking benchmark: nothing is run twice, tables and pictures show what the lines say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.docking import study
from benchmarks.docking.__main__ import main, targets
from benchmarks.docking.figures import draw_best, draw_energies
from benchmarks.docking.study import ARMS, PLAIN, Trial, carry_out, outcome, read
from benchmarks.docking.tables import markdown, outcomes
from casbo.errors import CasboError
from casbo_molecules.arms import Arm, Spending
from casbo_molecules.comparison import Column
from casbo_molecules.docking_run import DockingOptions
from casbo_molecules.run_metrics import query_metrics
from casbo_molecules.tables import ScoredMolecule
from casbo_molecules.target import Target, default_target

SMILES = ("CC(=O)Nc1ccccc1", "COc1ccc(CCN)cc1", "c1ccc2c(c1)OCCO2", "CCCS(=O)(=O)N1CCCCC1")
SPENDING = Spending(20, 4)
GAINS = dict(zip(ARMS, (0.0, -1.0, -0.5, -3.0, -2.0), strict=True))


class Box:
    """As much of a scorer as a line needs."""

    size = (10.0, 10.0, 10.0)


class Measured(Arm):
    """An arm whose molecules are looked at by nobody."""

    def column(self, name: str) -> Column:
        best = min(row.components["vina"] for row in self.spent)
        return Column(name, len(self.spent), best, query_metrics(self.samples, posebusters=0.9))


def arm_of(name: str, trial: Trial) -> Arm:
    """An arm that lies ``GAINS`` and a little for each seed above plain sampling."""
    shift = GAINS[name] * (1 + 0.1 * trial.spending.seed)
    rows = tuple(
        ScoredMolecule(
            0,
            number,
            smiles,
            -6.0 + shift + 0.2 * number,
            {"vina": -6.0 + shift + 0.2 * number, "qed": 0.6, "sa_normalised": 0.7},
        )
        for number, smiles in enumerate(SMILES)
    )
    vina = type("Vina", (), {"box": Box})
    return Measured(trial.options, vina, trial.spending, rows, rows)  # type: ignore[arg-type]


def trials() -> list[Trial]:
    options = DockingOptions("runs", "", atoms=12, receptor_sha256="0")
    return [Trial(Target(name, Path(), Path()), options, SPENDING) for name in ("a", "b")]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, str]]:
    """What is run, in order; every arm is a made-up one."""
    made: list[tuple[int, str, str]] = []

    def spend(name: str) -> object:
        def run(trial: Trial) -> Arm:
            made.append((trial.spending.seed, trial.target.name, name))
            return arm_of(name, trial)

        return run

    for name in ARMS:
        monkeypatch.setitem(study.ARMS, name, spend(name))
    return made


def test_a_study_goes_on_seed_by_seed_and_repeats_nothing(
    tmp_path: Path, calls: list[tuple[int, str, str]]
) -> None:
    lines = tmp_path / "results.jsonl"
    carry_out(trials(), [1, 2], lines, say=lambda text: None)
    assert calls == [(seed, name, arm) for seed in (1, 2) for name in "ab" for arm in ARMS]
    whole = lines.read_bytes()
    carry_out(trials(), [1, 2], lines, say=lambda text: None)
    assert len(calls) == 4 * len(ARMS)
    assert lines.read_bytes() == whole

    lines.write_bytes(whole[:-30])  # killed in the middle of the last line
    shown = carry_out(trials(), [1, 2], lines, say=lambda text: None)
    assert calls[4 * len(ARMS) :] == [(2, "b", list(ARMS)[-1])]
    assert list(read(lines)) == shown
    assert [one.seeds for one in outcomes(shown)] == [(1, 2), (1, 2)]


def test_other_settings_are_another_study(
    tmp_path: Path, calls: list[tuple[int, str, str]]
) -> None:
    lines = tmp_path / "results.jsonl"
    few = carry_out(trials()[:1], [1], lines, say=lambda text: None)
    wider = [Trial(t.target, t.options, Spending(40, 4)) for t in trials()[:1]]
    more = carry_out(wider, [1], lines, say=lambda text: None)
    assert len(calls) == 2 * len(ARMS)
    assert [line["queries"] for line in few + more] == [20] * len(ARMS) + [40] * len(ARMS)
    assert list(read(lines)) == few + more
    assert carry_out(trials()[:1], [1], lines, say=lambda text: None) == few


def lines_of(seeds: tuple[int, ...]) -> list[dict[str, object]]:
    made = []
    for seed in seeds:
        for trial in trials():
            now = Trial(trial.target, trial.options, Spending(20, 4, seed=seed))
            for name in ARMS:
                made.append(outcome(name, arm_of(name, now), now.settings()))
    return json.loads(json.dumps(made, allow_nan=False))


def test_tables_tell_the_gain_over_plain_sampling() -> None:
    lines = lines_of((1, 2))
    found = outcomes(lines)
    assert [one.target for one in found] == ["a", "b"]
    for name, gain in GAINS.items():
        assert found[0].gains(name) == pytest.approx([1.1 * gain, 1.2 * gain])
    text = markdown(found)
    assert "| mean against plain, by seed |  | -1.15 (-1.10, -1.20) |" in text
    assert "12 heavy atoms" in text
    assert text.count("| PoseBusters, samples | 90% |") == 2
    # a seed that is not complete is left out
    partly = outcomes([line for line in lines if (line["seed"], line["arm"]) != (2, PLAIN)])
    assert [one.seeds for one in partly] == [(1,), (1,)]
    two = (PLAIN, "steered, Vina")
    assert list(outcomes(lines, two)[0].lines) == list(two)
    assert "best of plain" not in markdown(outcomes(lines, two))
    with pytest.raises(CasboError, match="every arm"):
        outcomes([])


def test_a_line_names_different_molecules_best_first() -> None:
    line = lines_of((1,))[0]
    assert [row["smiles"] for row in line["best"]] == list(SMILES)
    assert line["energies"] == [-6.0, -5.8, -5.6, -5.4]
    assert {"commit", "vina", "rdkit"} <= line["versions"].keys()
    assert not math.isnan(Column.from_json(line["column"]).best)


def test_pictures_name_every_arm_and_stay_the_same(tmp_path: Path) -> None:
    found = outcomes(lines_of((1,)))
    first, second = (draw_energies(found, tmp_path / f"{name}.svg") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    written = "".join(ElementTree.parse(first).getroot().itertext())
    assert all(arm in written for arm in ARMS)
    assert ElementTree.parse(draw_best(found, tmp_path / "best.svg")).getroot().tag.endswith("svg")


def test_foreign_lines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"seed": 1}\n')
    with pytest.raises(CasboError, match="line 1"):
        list(read(path))
    assert list(read(tmp_path / "absent.jsonl")) == []


def test_targets_go_by_their_files() -> None:
    pytest.importorskip("prolif")
    found = targets([Path("a/one.pdb"), Path("two.pdb")], [Path("x.sdf"), Path("y.sdf")])
    assert [one.name for one in found] == ["one", "two"]
    assert found[0].ligand.name == "x.sdf"
    assert [one.receptor for one in targets(None, None)] == [default_target().receptor]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--queries", "60"], "ask for 96 or more"),
        (["--fresh", "1.5"], "between 0 and 1"),
        (["--receptor", "a.pdb"], "one --ligand for each"),
        (["--receptor", "x/a.pdb", "y/a.pdb", "--ligand", "a.sdf", "b.sdf"], "different names"),
        (["--receptor", "absent.pdb", "--ligand", "absent.sdf"], "absent.pdb"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
