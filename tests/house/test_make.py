"""`make` finds a suitable Python or says which one it wants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .source import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


def folder_with(tmp_path: Path, python: str | None) -> Path:
    """A copy of the make files and a `bin` holding the shell's tools and one python script."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for tool in ("bash", "sed", "touch", "rm", "mkdir", "cat", "chmod"):
        (binaries / tool).symlink_to(str(shutil.which(tool)))
    if python is not None:
        (binaries / "python3").write_text(python)
        (binaries / "python3").chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the folder with only its own `bin` on PATH."""
    environment = {**os.environ, "PATH": str(folder / "bin")}
    for inherited in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV", "PYTHON", "EXTRAS", "ARGS"):
        environment.pop(inherited, None)
    return subprocess.run(
        [str(MAKE), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# Stands for an interpreter: checks versions through the real one, makes an environment that holds
# a python that records what pip is asked to do.
RECORDER = f"""#!/bin/bash
if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi
if [ "$1" = -V ]; then echo "Python 3"; exit 0; fi
if [ "$1 $2" = "-m venv" ]; then
  mkdir -p "$4/bin"; cat "$0" > "$4/bin/python"; chmod +x "$4/bin/python"; exit 0
fi
echo "$@" >> calls.txt
"""


def test_without_a_suitable_python_the_message_names_the_fix(tmp_path: Path) -> None:
    outcome = make(folder_with(tmp_path, "#!/bin/bash\nexit 1\n"), "install")
    assert outcome.returncode != 0
    assert "3.11 or 3.12" in outcome.stderr
    assert "make PYTHON=" in outcome.stderr
    assert not (tmp_path / ".venv").exists()


def test_installation_happens_once_and_again_when_the_requirements_change(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, RECORDER)
    calls = folder / "calls.txt"
    first = make(folder, "install")
    assert first.returncode == 0, first.stderr
    assert calls.read_text().splitlines() == [
        "-m pip install --quiet -c constraints.txt -e .[images,inversion,molecules,dev]"
    ]
    make(folder, "install")
    assert len(calls.read_text().splitlines()) == 1
    later = (folder / ".venv" / ".installed-images-inversion-molecules-dev").stat().st_mtime + 10
    os.utime(folder / "pyproject.toml", (later, later))
    assert make(folder, "install").returncode == 0
    assert len(calls.read_text().splitlines()) == 2


def test_a_failed_installation_is_tried_again(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, RECORDER.replace('echo "$@" >> calls.txt', 'echo "$@" >> calls.txt; exit 1')
    )
    assert make(folder, "install").returncode != 0
    assert make(folder, "install").returncode != 0
    assert len((folder / "calls.txt").read_text().splitlines()) == 2


def test_the_tests_run_in_the_environment(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, RECORDER)
    assert make(folder, "test", "ARGS=-k nothing").returncode == 0
    assert (folder / "calls.txt").read_text().splitlines()[-1] == "-m pytest -k nothing"


def test_the_ci_script_runs_lint_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [
        line for line in script.read_text().splitlines() if line.startswith(("make", "set"))
    ]
    assert commands == ["set -euo pipefail", "make lint", "make test"]
