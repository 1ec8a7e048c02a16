"""What every test of this domain can use."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared receptors of a test go nowhere else."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def target_files() -> tuple[Path, Path]:
    """Receptor and ligand of the embedded default."""
    pytest.importorskip("prolif")
    from casbo_molecules.target import default_target

    target = default_target()
    return target.receptor, target.ligand


@pytest.fixture
def only_this_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line has the commands of this domain and no others."""
    import casbo.cli
    import casbo.domains
    from casbo_molecules.command import domain

    loaded = casbo.domains.LoadedDomains({"molecules": domain})
    monkeypatch.setattr(casbo.cli, "load_domains", lambda: loaded)
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)


@pytest.fixture
def protein(tmp_path: Path) -> Path:
    """A PDB file of two glycines."""
    from molecule_samples import glycine

    path = tmp_path / "protein.pdb"
    path.write_text(glycine(1, 0.0) + glycine(2, 5.0, serial=5))
    return path
