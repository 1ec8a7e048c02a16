"""The benchmarks are no installed package: they are imported from the repository's root."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for package in ("rdkit", "openbabel", "gemmi", "meeko", "vina"):
    pytest.importorskip(package, reason=f"{package} is part of casbo[molecules]")

sys.path.append(str(Path(__file__).resolve().parents[2]))
