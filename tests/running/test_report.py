"""The report: one file that loads nothing, runs nothing and escapes everything."""

from __future__ import annotations

import base64
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import Tensor

from casbo.errors import RunFolderError
from casbo.ledger import Ledger
from casbo.objective import WeightedSum
from casbo.picture import picture_uri
from casbo.report import rewrite_report
from casbo.run_folder import RunFolder
from casbo.steering import Steering, steer

from .problems import Sum

EVIL = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)> ${7*7} {{7*7}} $x_2$"


class Pictured(Sum):
    """Draws its samples, with a script in the drawing."""

    def picture(self, sample: Tensor) -> str:
        return f'<svg viewBox="0 0 9 9"><script>alert(3)</script><text>{float(sample[0])}</text></svg>'


def evil(samples: Sequence[Tensor]) -> dict[str, list[float]]:
    """A score whose component has a hostile name, and whose failures have hostile messages."""
    values = [float((sample - 1).square().sum()) for sample in samples]
    return {EVIL: [math.nan if value > 20 else value for value in values], "plain": values}


class Page(HTMLParser):
    """Collects tags with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / '<b>bold & "quoted"<'
    steer(
        Pictured(),
        evil,
        queries=64,
        population=16,
        keep=5,
        run=folder,
        objective=WeightedSum({EVIL: 1.0}),
        heldout=evil,
        failure_limit=1.0,
        domain={"name": EVIL, "options": {}},
    )
    return folder


def check_harmless(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form", "link", "svg"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "data", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:")
    policies = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    assert (policies[0] or "").startswith("default-src 'none'; img-src data:")


def test_the_page_loads_nothing_and_runs_nothing(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    check_harmless(page)
    shown = "".join(page.texts)
    assert EVIL in shown
    assert '<b>bold & "quoted"<' in shown
    assert "@import" not in text
    assert "url(" not in text


def test_figures_and_pictures_are_whole_svg(run: Path) -> None:
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    images = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(images) >= 8 + 5
    for image in images:
        kind, _, data = image.partition(";base64,")
        assert kind == "data:image/svg+xml"
        root = ElementTree.fromstring(base64.b64decode(data))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    names = {attributes["alt"] for tag, attributes in page.tags if tag == "img"}
    expected = {"score curve", "KL to the prior", "noise norm", "failed share"}
    assert names > expected | {"spectrum per Gaussian", EVIL, f"heldout.{EVIL}", "sample 1"}


def test_the_numbers_are_the_ledgers(run: Path) -> None:
    ledger = Ledger(run / "ledger.sqlite")
    ((_, _, best, _), *_) = ledger.best("minimize", 1)
    tally = ledger.tally()
    ledger.close()
    shown = [text.strip() for text in Page((run / "report.html").read_text()).texts]
    assert shown[shown.index("best score") - 1] == f"{best:.4g}"
    share = f"{tally.failed / tally.completed:.1%}"
    assert shown[shown.index("failed queries") - 1] == share


def test_written_anew_from_the_folder_alone_it_is_the_same(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert rewrite_report(RunFolder.existing(run)) == run / "report.html"
    assert (run / "report.html").read_bytes() == before


def test_a_run_without_anything_has_a_report(tmp_path: Path) -> None:
    with Steering(Sum(), evil, queries=32, population=16, run=tmp_path / "run"):
        pass
    check_harmless(Page(rewrite_report(RunFolder(tmp_path / "run")).read_text()))


def test_a_run_in_which_everything_failed_has_a_report(tmp_path: Path) -> None:
    def hopeless(samples: Sequence[Tensor]) -> list[float]:
        return [math.nan] * len(samples)

    steer(Sum(), hopeless, queries=32, population=16, run=tmp_path / "run", failure_limit=1.0)
    text = (tmp_path / "run" / "report.html").read_text()
    assert "the scorer returned nan" in text
    assert not re.search(r"\bnan\b(?!<)", re.sub(r"base64,[^\"]*", "", text).replace(" nan<", "<"))


def test_a_run_ends_with_its_report_without_loading_a_plotting_library(tmp_path: Path) -> None:
    code = (
        "import sys, casbo\n"
        "rollout = casbo.FunctionRollout(lambda noise: noise.sum(1), (2, 2))\n"
        "score = lambda samples: [float(s.square().sum()) for s in samples]\n"
        f"casbo.steer(rollout, score, queries=16, population=8, run={str(tmp_path / 'run')!r})\n"
        "print('matplotlib' in sys.modules)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == ["False"]
    assert (tmp_path / "run" / "report.html").is_file()


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        rewrite_report(RunFolder.existing(tmp_path / "none"))
    (tmp_path / "config.json").write_text("[1, 2")
    with pytest.raises(RunFolderError, match="Could not read"):
        rewrite_report(RunFolder.existing(tmp_path))


@pytest.mark.parametrize(
    "markup",
    [
        None,
        "",
        "hello",
        "<img src=http://evil.example/a.png>",
        "<script>1</script>",
        "javascript:1",
    ],
)
def test_other_markup_is_no_picture(markup: str | None) -> None:
    assert picture_uri(markup) is None


def test_an_image_is_taken_out_of_its_tag() -> None:
    markup = '<img onerror=alert(1) src="data:image/png;base64,QUJD" alt="x">'
    assert picture_uri(markup) == "data:image/png;base64,QUJD"
