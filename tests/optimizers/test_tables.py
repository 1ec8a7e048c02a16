"""Tables, figure and JSON of hand-made runs; the command line from the first query to the page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.markdown import table
from benchmarks.optimizers.__main__ import main
from benchmarks.optimizers.curves import Study
from benchmarks.optimizers.figure import draw, runtime_distribution
from benchmarks.optimizers.tables import BEGIN, END, Report, write_between_marks
from casbo.errors import CasboError

ROOT = Path(__file__).resolve().parents[2]
N, T = 20, 200
SLOW = 1e6 * np.arange(1, T + 1) ** -2.0
FAST = SLOW[np.minimum(4 * np.arange(1, T + 1), T) - 1]
PROBLEMS = ("sphere/mixture/terminal/10x5", "levy/delayed/cumulative/20x10/noise-0.1")


def study() -> Study:
    rows = {"pycma": SLOW, "vkd": SLOW, "random": np.full(T, 1e9), "default[pooling=0]": FAST}
    curves = {problem: {n: np.array([c, c, c]) for n, c in rows.items()} for problem in PROBLEMS}
    spent = dict.fromkeys(rows, 0.001)
    return Study(N, N * T, curves, (0, 1, 2), spent, dict.fromkeys(rows, 0), ({"casbo": "1"},))


def cells(markdown: str, row: str) -> list[list[str]]:
    """The cells of every table row that begins with a text."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if "|" in line]
    return [[cell.strip() for cell in one] for one in rows if one[0].strip() == row]


def test_the_tables_tell_the_factors() -> None:
    text = Report.of(study()).markdown()
    own, pycma = "`default` (pooling=0)", "pycma, full"
    (overall,) = cells(text, pycma)
    assert overall[1:4] == ["2", "3", "1.00"]
    found = cells(text, own)[0]
    assert float(found[3]) == pytest.approx(4, rel=0.1)
    assert found[4:6] == ["0%", "0"]
    assert float(found[6]) == pytest.approx(4, rel=0.1)
    assert float(found[9]) == pytest.approx(4, rel=0.1)
    (mixture, by_problem) = cells(text, PROBLEMS[0])
    assert float(mixture[1]) == pytest.approx(4, rel=0.1)
    assert by_problem[2] == "0 of 10"
    assert [len(cells(text, group)) for group in ("noisy", "mixture", "20x10", "levy")] == [1] * 4
    assert "| random search | 2 | 3 |" in text
    assert "100%" in text  # of the targets, by random search


def test_every_number_of_the_tables_is_in_the_json() -> None:
    report = Report.of(study())
    found = json.loads(json.dumps(report.as_json()))
    own = found["methods"]["default[pooling=0]"]
    assert own["over_reference"] == pytest.approx(4, rel=0.1)
    assert own["seconds_per_iteration"] == 0.001
    assert found["groups"]["score"]["terminal"]["pycma"]["over_reference"] == pytest.approx(1)
    assert set(found["problems"]) == set(PROBLEMS)
    assert set(found["mixtures_over_vkd"]) == {PROBLEMS[0]}


def test_a_study_without_the_reference_is_refused() -> None:
    whole = study()
    curves = {p: {n: c for n, c in m.items() if n != "pycma"} for p, m in whole.curves.items()}
    without = Study(N, N * T, curves, whole.seeds, whole.seconds, whole.diverged, ())
    with pytest.raises(CasboError, match="reference"):
        Report.of(without)


def test_the_runtime_distribution_counts_targets() -> None:
    shares = runtime_distribution(study())
    assert shares["pycma"][4] == pytest.approx(0.1)  # the first of ten targets
    assert shares["pycma"][-1] == 1
    assert (shares["random"] == 0).all()
    slow, fast = shares["pycma"], shares["default[pooling=0]"]
    assert fast[: T // 4 - 1] == pytest.approx(slow[3 : T - 1 : 4])
    assert all((np.diff(share) >= 0).all() for share in shares.values())


def test_the_figure_labels_every_method_and_stays_the_same(tmp_path: Path) -> None:
    first, second = (draw(study(), tmp_path / f"{name}.svg") for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 200_000
    written = "".join(ElementTree.parse(first).getroot().itertext())
    assert all(name in written for name in ("pycma, full", "VkD-CMA", "default (pooling=0)"))


def test_a_page_keeps_what_is_outside_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold \\1\n{END}\nafter\n")
    write_between_marks(page, "new \\2")
    assert page.read_text() == f"before\n{BEGIN}\nnew \\2\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(CasboError, match="marks"):
        write_between_marks(page, "new")
    assert page.read_text() == "no marks"
    assert list(tmp_path.iterdir()) == [page]


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_the_command_line_from_queries_to_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cma")
    runs, page, figure = tmp_path / "runs.jsonl", tmp_path / "page.md", tmp_path / "runs.svg"
    page.write_text(f"{BEGIN}\n{END}\n")
    words = ["run", "--problems", "sphere/mixture/terminal/4x3", "--methods", "pycma", "default"]
    words += ["--seeds", "100", "--population", "8", "--queries", "80", "--out", str(runs)]
    assert main(words) == 0
    assert "2 runs, 0 of them" in capsys.readouterr().out
    assert main(words) == 0
    assert "2 runs, 2 of them" in capsys.readouterr().out
    shown = ["--write", str(page), "--figure", str(figure), "--json", str(tmp_path / "all.json")]
    assert main(["tables", str(runs), *shown]) == 0
    assert "pycma, full" in page.read_text()
    assert figure.is_file()
    assert json.loads((tmp_path / "all.json").read_text())["queries"] == 80


def test_it_runs_as_a_module() -> None:
    words = [sys.executable, "-m", "benchmarks.optimizers", "list", "--suite", "small"]
    outcome = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "sphere/mixture/terminal/10x5" in outcome.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--problems", "sphere"], "ellipsoid/rotation/terminal/20x10"),
        (["run", "--methods", "nelder-mead"], "Expected a method"),
        (["run", "--methods", "default", "--option", "poling=1"], "poling"),
        (["run", "--seeds", "5:3"], "expected seeds"),
        (["tables", "absent.jsonl"], "absent.jsonl"),
        (["tables", "absent.jsonl", "--figure", "x.gif"], ".svg"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "runs.jsonl")] if words[0] == "run" else []
    try:
        code = main([*words, *out])
    except SystemExit as exit_:
        code = exit_.code
    assert code not in {0, None}
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
