"""Domains: how a family of models and scorers joins the command line.

A domain is one object of this module, named by an entry point of the group
``casbo.domains``::

    [project.entry-points."casbo.domains"]
    molecules = "casbo_molecules.command:domain"

    # casbo_molecules/command.py
    domain = Domain(name="molecules", register=register, rebuild=rebuild)

``register(app)`` adds the domain's commands to the typer application. It is called for
``casbo --help``, so it imports nothing heavy: rdkit, diffusers and the like are imported
inside the commands.

A command starts its run with ``steer(..., domain=domain.config(options))``: the run's
``config.json`` then holds ``"domain": {"name": ..., "options": {...}}``, where ``options``
are the domain's own, JSON values that suffice to build the same rollout and scorer again.
``rebuild(options)`` does so and returns a `Problem`; ``casbo resume RUN`` and
``casbo sample RUN`` call it. ``Problem.finish`` is called with the `Result` whenever the
asked-for queries are spent, in the first process or in a resumed one, and writes the
domain's own outputs; the command itself should call the same function.

A command may also start several runs in one folder. It writes ``parts.json`` beside them,
with ``"domain"`` as above; ``casbo resume FOLDER`` then calls ``resume(folder, changes)``.

``report(run)``, where a domain has one, returns the `Panel`s that it adds to the report of
the run folder ``run``, from the files in that folder alone.

A domain that cannot be loaded (a missing extra, a broken third party) costs its own
commands and one line, never the others'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from casbo.errors import CasboError
from casbo.panel import Panel

if TYPE_CHECKING:
    import typer

    from casbo.buckets import Buckets
    from casbo.objective import Objective
    from casbo.optimizer import Optimizer
    from casbo.result import Result
    from casbo.rollout import Rollout
    from casbo.scorer import Scorer
    from casbo.spaces import Space
    from casbo.stand_in import StandIn
    from casbo.steering import Monitor

GROUP = "casbo.domains"


class Problem(NamedTuple):
    """What a domain rebuilds from its options: everything `casbo.steer` needs to go on.

    Arguments:
        rollout: The model.
        scorer: The score that is steered.
        objective: How the scorer's components add up; None for a single component.
        heldout: A second scorer that is reported and never steered, or None.
        space: The control space, where it is not the rollout's own.
        monitors: Named measures of every iteration's samples.
        gallery: Candidates of every iteration whose pictures the report shows.
        finish: Called with the `Result` at the end of a run; writes the domain's outputs.
        optimizer: What makes the optimiser, as for `casbo.steering.Steering`.
        buckets: A diversity filter.
        stand_in: What is guessed at unfinished steps.
    """

    rollout: Rollout
    scorer: Scorer
    objective: Objective | None = None
    heldout: Scorer | None = None
    space: Space | None = None
    monitors: Mapping[str, Monitor] | None = None
    gallery: int = 0
    finish: Callable[[Result], None] | None = None
    optimizer: Callable[..., Optimizer] | None = None
    buckets: Buckets | None = None
    stand_in: StandIn | None = None

    def steering_options(self) -> dict[str, Any]:
        """What `casbo.steer` takes besides rollout and scorer, by name."""
        own = ("rollout", "scorer", "finish")
        return {name: getattr(self, name) for name in self._fields if name not in own}


@dataclass(frozen=True)
class Domain:
    """A named family of commands and the way back from a run folder to its problem."""

    name: str
    register: Callable[[typer.Typer], None]
    rebuild: Callable[[Mapping[str, Any]], Problem]
    report: Callable[[Path], Sequence[Panel]] | None = None
    resume: Callable[[Path, Mapping[str, Any]], None] | None = None

    def config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The entry for `steer(domain=...)`: this domain's name and the run's options."""
        return {"name": self.name, "options": dict(options)}


@dataclass(frozen=True)
class LoadedDomains:
    """The domains found, and one line for each that could not be loaded."""

    domains: Mapping[str, Domain] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def load_domains(found: list[EntryPoint] | None = None) -> LoadedDomains:
    """Load every installed domain; one that fails is reported and skipped.

    Arguments:
        found: Entry points to load, by default those of the group ``casbo.domains``.
    """
    domains: dict[str, Domain] = {}
    problems: dict[str, str] = {}
    for entry in list(entry_points(group=GROUP)) if found is None else found:
        try:
            domain = entry.load()
        except Exception as error:  # noqa: BLE001 - third-party code: anything can be wrong with it
            problems[entry.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if isinstance(domain, Domain):
            domains[domain.name] = domain
        else:
            problems[entry.name] = (
                f"expected {entry.value} to be a casbo.domains.Domain, got {type(domain).__name__}"
            )
    return LoadedDomains(domains, problems)


def rebuild_problem(config: Mapping[str, Any]) -> Problem:
    """The rollout, scorer and objective of a run, from its config.

    Arguments:
        config: The contents of a run folder's config.json.

    Raises:
        CasboError: When the run was started from Python without a domain, or its
            domain is not installed.
    """
    entry = config.get("domain")
    if not entry:
        raise CasboError(
            "This run was started from Python with its own rollout and scorer; go on from there: "
            "call casbo.steer(...) again with the same arguments and the same run folder."
        )
    name = str(entry.get("name"))
    loaded = load_domains()
    if name not in loaded.domains:
        reason = loaded.problems.get(name, f"installed domains: {sorted(loaded.domains)}")
        raise CasboError(f"This run needs the domain {name!r}, which is not there ({reason}).")
    return Problem(*loaded.domains[name].rebuild(entry.get("options", {})))


def resume_parts(folder: Path, changes: Mapping[str, Any]) -> None:
    """Go on with a folder of several runs, the way of the domain whose command started them.

    Arguments:
        folder: Where ``parts.json`` is.
        changes: Settings that are to be others from here on.

    Raises:
        CasboError: When the file is damaged, or its domain is not there or has no such folders.
    """
    from casbo.run_folder import PARTS

    path = folder / PARTS
    try:
        name = str(json.loads(path.read_text(encoding="utf-8"))["domain"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CasboError(f"Could not read what the runs are in {path} ({error!r}).") from error
    domain = load_domains().domains.get(name)
    if domain is None or domain.resume is None:
        raise CasboError(f"The runs in {folder} need the domain {name!r}, which is not there.")
    domain.resume(folder, changes)


def report_panels(config: Mapping[str, Any], run: Path) -> Sequence[Panel]:
    """What the run's domain adds to its report; nothing where the domain is not there.

    Arguments:
        config: The contents of the run folder's config.json.
        run: The run folder.

    Raises:
        CasboError: When the folder's files cannot be shown.
    """
    entry = config.get("domain")
    if not entry:
        return ()
    domain = load_domains().domains.get(str(entry.get("name")))
    return () if domain is None or domain.report is None else domain.report(run)
