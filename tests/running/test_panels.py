"""Panels of a report: their scripts alone may run, and a domain brings them to every report."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

import casbo.domains
from casbo.domains import Domain, LoadedDomains, Problem
from casbo.errors import CasboError
from casbo.panel import Panel
from casbo.report import rewrite_report
from casbo.run_folder import RunFolder
from casbo.steering import steer

from .problems import Sum

SCRIPT = "document.title = 'ä < b';\n"


def panels(run: Path) -> list[Panel]:
    """Two panels that share a script."""
    one = Panel("First", f"<p id=seen>{run.name}</p>", "p { color: red; }", [SCRIPT])
    return [one, Panel("Second", "<p>more</p>", scripts=[SCRIPT, "1 + 1;"])]


def rebuild(options: object) -> Problem:
    del options
    return Problem(Sum(), len)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    domain = Domain("shown", lambda app: None, rebuild, panels)
    loaded = LoadedDomains({"shown": domain})
    monkeypatch.setattr(casbo.domains, "load_domains", lambda: loaded)
    steer(
        Sum(),
        lambda samples: [float(sample.sum()) for sample in samples],
        queries=32,
        population=16,
        run=tmp_path / "run",
        domain=domain.config({}),
    )
    return tmp_path / "run"


def test_only_the_panels_scripts_may_run(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<h2>First</h2>\n<p id=seen>run</p>" in page
    assert page.index("<h2>Second</h2>") < page.index("<h2>Score</h2>")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert scripts == [SCRIPT, "1 + 1;"]
    policy = re.search(r'content="(default-src[^"]*)"', page)
    assert policy is not None
    sources = policy[1].partition("script-src ")[2].split()
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert sources == [f"'sha256-{digest}'" for digest in digests]


def test_written_anew_it_is_the_same(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    rewrite_report(RunFolder.existing(run))
    assert (run / "report.html").read_bytes() == before


def test_without_the_domain_the_report_is_plain(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(casbo.domains, "load_domains", LoadedDomains)
    page = rewrite_report(RunFolder.existing(run)).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "script-src" not in page
    assert json.loads((run / "config.json").read_text())["domain"]["name"] == "shown"


def test_a_script_cannot_end_its_own_tag() -> None:
    with pytest.raises(CasboError, match="to hold no"):
        Panel("x", "", scripts=["'</SCRIPT>'"])
    with pytest.raises(CasboError, match="to hold no"):
        Panel("x", "", style="</style><script>1</script>")
