"""The report of a run: one HTML file that loads nothing, and runs what its domain adds at most.

Everything shown comes from the ledger and the config, escaped; figures and pictures are
data URIs, and a content security policy forbids the rest. A domain may add panels
(`casbo.panel`), whose scripts alone are allowed. Pictures of samples need the
model, so they are made when a run ends and kept in ``samples/pictures.json`` for the
reports written later by ``casbo report``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casbo import plots
from casbo.atomic import write_atomically
from casbo.domains import report_panels
from casbo.errors import RunFolderError
from casbo.gallery import Gallery
from casbo.ledger import Ledger
from casbo.panel import Panel, all_scripts, script_source
from casbo.picture import DATA_IMAGE, picture_uri
from casbo.records import Record
from casbo.result import Result
from casbo.run_folder import RunFolder
from casbo.version import __version__

#: How many component curves are drawn.
MOST_COMPONENTS = 12


@dataclass(frozen=True)
class Named:
    """A figure or a number with its name."""

    name: str
    value: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Section:
    """Figures under a heading."""

    title: str
    figures: Sequence[Named]
    text: str = ""


@dataclass(frozen=True)
class Card:
    """One of the best samples."""

    iteration: int
    number: int
    score: str
    components: Sequence[tuple[str, str]]
    picture: str | None


def write_report(result: Result, ledger: Ledger, folder: RunFolder) -> Path:
    """Write the report of a run whose model is at hand, pictures included.

    Raises:
        RunFolderError: When it cannot be written.
    """
    pictures = {}
    for best in result.bests():
        picture = picture_uri(result.rollout.picture(best.sample))
        if picture is not None:
            pictures[f"{best.iteration}/{best.number}"] = picture
    folder.samples.mkdir(parents=True, exist_ok=True)
    write_atomically(_pictures_path(folder), json.dumps(pictures).encode())
    return _write(result.config, ledger, folder, pictures)


def rewrite_report(folder: RunFolder) -> Path:
    """Write the report of a run from its folder alone, with the pictures kept there.

    Raises:
        RunFolderError: When the folder is no run or cannot be read or written.
    """
    config = folder.read_config()
    try:
        pictures = json.loads(_pictures_path(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        pictures = {}
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Could not read {_pictures_path(folder)} ({error}).") from error
    ledger = folder.open_ledger()
    try:
        return _write(config, ledger, folder, pictures)
    finally:
        ledger.close()


def render(
    config: Mapping[str, Any],
    ledger: Ledger,
    name: str,
    pictures: Mapping[str, str],
    *,
    course: Mapping[int, Sequence[str]] | None = None,
    panels: Sequence[Panel] = (),
) -> str:
    """The report's HTML.

    Arguments:
        config: The run's config.
        ledger: Its ledger.
        name: The run's name, shown as the title.
        pictures: "iteration/number" -> data URI, for the best samples.
        course: iteration -> data URIs of some of its candidates.
        panels: What the domain adds.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("casbo", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    records = [Record.from_json(values) for values in ledger.iterations()]
    scripts = all_scripts(panels)
    return environment.get_template("report.html.j2").render(
        title=name,
        lead=_lead(config, ledger),
        tiles=_tiles(records),
        sections=_sections(records, str(config.get("direction"))),
        strips=[
            (iteration, [uri for uri in uris if DATA_IMAGE.fullmatch(uri)])
            for iteration, uris in (course or {}).items()
        ],
        cards=_cards(config, ledger, pictures),
        panels=panels,
        scripts=scripts,
        script_sources=[script_source(script) for script in scripts],
        failures=ledger.failures(limit=8),
        settings=[(key, _setting(value)) for key, value in sorted(config.items())],
        version=__version__,
    )


def _write(
    config: Mapping[str, Any], ledger: Ledger, folder: RunFolder, pictures: Mapping[str, str]
) -> Path:
    course = Gallery(folder.gallery).course()
    panels = report_panels(config, folder.path)
    page = render(config, ledger, folder.path.name, pictures, course=course, panels=panels)
    write_atomically(folder.report, page.encode("utf-8", errors="replace"))
    return folder.report


def _pictures_path(folder: RunFolder) -> Path:
    return folder.samples / "pictures.json"


def _lead(config: Mapping[str, Any], ledger: Ledger) -> str:
    scorer = config.get("scorer") or {}
    named = scorer.get("name") or scorer.get("type") or "the score"
    tally, heldout = ledger.tally(), ledger.tally("heldout")
    parts = [
        f"{config.get('direction', 'steer')} {named}",
        f"{tally.completed} of {config.get('queries', '?')} score queries spent",
    ]
    if heldout.completed:
        parts.append(f"{heldout.completed} held-out queries")
    return " · ".join(parts)


def _tiles(records: Sequence[Record]) -> list[Named]:
    if not records:
        return [Named("iterations so far", "0")]
    first, last = records[0], records[-1]
    return [
        Named("best score", number(last.best)),
        Named("mean, first iteration", number(first.mean)),
        Named("mean, last iteration", number(last.mean)),
        Named("iterations", str(len(records))),
        Named("failed queries", f"{last.failed / max(1, last.queries):.1%}"),
        Named("KL to the prior, nats", number(last.kl)),
    ]


def _sections(records: Sequence[Record], direction: str) -> list[Section]:
    if not records:
        return []
    sections = []
    if plots.has_numbers([record.best for record in records]):
        curve = Named("score curve", uri=plots.score_curve(records, direction))
        sections.append(Section("Score", [curve]))
    names = sorted({name for record in records for name in record.components})[:MOST_COMPONENTS]
    if len(names) > 1:
        curves = [Named(name, uri=plots.component_curve(records, name)) for name in names]
        sections.append(Section("Components, mean of each iteration", curves))
    distance = [
        Named("KL to the prior", uri=plots.divergence(records)),
        Named("noise norm", uri=plots.noise_norm(records)),
        Named("failed share", uri=plots.failed_share(records)),
    ]
    sections.append(Section("Distance from the model", distance, _DISTANCE))
    if records[-1].spectrum:
        spread = [
            Named("spectrum per Gaussian", uri=plots.spectrum(records[-1])),
            Named("spectrum over iterations", uri=plots.spectrum_course(records)),
        ]
        sections.append(Section("Covariance", spread, _COVARIANCE))
    return sections


def _cards(config: Mapping[str, Any], ledger: Ledger, pictures: Mapping[str, str]) -> list[Card]:
    """Cards for the best final samples, best first."""
    cards = []
    keep, direction = int(config.get("keep", 20)), str(config.get("direction", "minimize"))
    for iteration, place, score, components in ledger.best(direction, keep):
        picture = pictures.get(f"{iteration}/{place}")
        rows = [(name, number(value)) for name, value in sorted(components.items())]
        safe = picture if picture and DATA_IMAGE.fullmatch(picture) else None
        cards.append(Card(iteration, place, number(score), rows, safe))
    return cards


def number(value: float) -> str:
    """A number for people: four digits, a dash where there is none."""
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _setting(value: object) -> str:
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )


_DISTANCE = (
    "How far steering has left the pre-trained model: at KL 0 and noise 1 the samples are its own."
)
_COVARIANCE = (
    "Eigenvalues below 1: directions that were decided. Bars span quartiles and extremes; "
    "the prior is the dashed line."
)
