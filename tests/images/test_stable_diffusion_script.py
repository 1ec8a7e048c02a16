"""The script of the documentation, run as it stands."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from casbo.ledger import Ledger
from casbo_images.pictures import read_image

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "stable_diffusion.py"


def rows(run: Path) -> list[dict[str, object]]:
    ledger = Ledger(run / "ledger.sqlite")
    found = list(ledger.rows())
    ledger.close()
    return found


def test_it_writes_what_it_promises_and_goes_on(
    model: Path,
    tiny_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    settings = [f"--model={model}", f"--clip={tiny_clip}", f"--out={out}", "--device=cpu"]
    settings += ["--prompt=a cab", "--target=ab", "--steps=2", "--population=4"]
    outcome = subprocess.run(
        [sys.executable, str(SCRIPT), *settings, "--queries=8"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    first = rows(out)
    assert len(first) == 8
    best = max(float(str(row["score"])) for row in first)
    assert f"best {best:.4f}; everything is in {out}" in outcome.stdout
    assert (out / "report.html").stat().st_size > 0
    samples = read_image(out / "samples" / "000.png")
    assert read_image(out / "best.png").tobytes() == samples.tobytes()
    fresh = sorted((out / "fresh").glob("[0-9]*.png"))
    assert len(fresh) == 8
    before = [path.read_bytes() for path in fresh]

    def again(*more: str) -> list[dict[str, object]]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *settings, *more])
        runpy.run_path(str(SCRIPT), run_name="__main__")
        assert "everything is in" in capsys.readouterr().out
        return rows(out)

    assert again("--queries=8") == first
    assert [path.read_bytes() for path in fresh] == before
    more = again("--queries=12")
    assert len(more) == 12
    assert more[:8] == first
