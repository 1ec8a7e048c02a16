"""The comparison as Markdown tables and as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from casbo.atomic import write_atomically
from casbo.errors import CasboError
from casbo_functions import ProblemSpec

from ..markdown import table
from .curves import SOLVED, Study
from .factors import (
    PENALTY,
    Comparison,
    Standing,
    Summary,
    against,
    geometric_mean,
    is_peer,
    standings,
    summaries,
)
from .methods import REFERENCE, title

#: The strongest single peer, which the mixtures of Gaussians are compared with.
STRONGEST = "vkd"

BEGIN, END = "<!-- optimizers: begin -->", "<!-- optimizers: end -->"

GROUPS: Mapping[str, Callable[[ProblemSpec], str]] = {
    "score": lambda spec: spec.score,
    "dynamics": lambda spec: spec.dynamics,
    "function": lambda spec: spec.function,
    "D x K": lambda spec: spec.size,
    "faults": lambda spec: "noisy" if spec.noise else "failing" if spec.failures else "none",
}


@dataclass(frozen=True)
class Report:
    """What the tables say, in numbers.

    Arguments:
        study: The runs.
        standings: Problem -> method -> where it stands.
        summaries: Method -> over all problems.
        mixtures: Gaussian-mixture problem -> method -> the comparison with VkD-CMA.
    """

    study: Study
    standings: Mapping[str, Mapping[str, Standing]]
    summaries: Mapping[str, Summary]
    mixtures: Mapping[str, Mapping[str, Comparison]]

    @classmethod
    def of(cls, study: Study) -> Report:
        """Compare all methods of a study.

        Raises:
            CasboError: When joint pycma, the reference, ran none of its problems.
        """
        found = standings(study)
        if not found:
            raise CasboError(f"Expected runs of {REFERENCE!r}, the reference; found none.")
        mixtures = {
            problem: methods
            for problem, methods in against(study, STRONGEST).items()
            if ProblemSpec.named(problem).dynamics == "mixture"
        }
        return cls(study, found, summaries(found), mixtures)

    @property
    def own(self) -> list[str]:
        """Methods that are no peers: casbo's default rule and its variants."""
        return [name for name in self.summaries if not is_peer(name)]

    def groups(self) -> dict[str, dict[str, dict[str, Summary]]]:
        """Kind of group -> group -> method -> summary over the group's problems."""
        found: dict[str, dict[str, dict[str, Summary]]] = {}
        for kind, group_of in GROUPS.items():
            members: dict[str, dict[str, Mapping[str, Standing]]] = {}
            for problem, methods in self.standings.items():
                members.setdefault(group_of(ProblemSpec.named(problem)), {})[problem] = methods
            found[kind] = {group: summaries(members[group]) for group in members}
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        study = self.study
        return {
            "population": study.population,
            "queries": study.queries,
            "seeds": list(study.seeds),
            "versions": [dict(one) for one in study.versions],
            "methods": {
                name: {
                    **asdict(one),
                    "seconds_per_iteration": study.seconds[name],
                    "diverged": study.diverged[name],
                }
                for name, one in self.summaries.items()
            },
            "groups": {
                kind: {group: _plain(methods) for group, methods in groups.items()}
                for kind, groups in self.groups().items()
            },
            "problems": {problem: _plain(methods) for problem, methods in self.standings.items()},
            "mixtures_over_vkd": {
                problem: _plain(methods) for problem, methods in self.mixtures.items()
            },
        }

    def markdown(self) -> str:
        """All tables."""
        parts = [self._setting(), self._overall(), self._grouped()]
        if self.own:
            parts += [self._against_strongest(), self._problems()]
        return "\n\n".join(part for part in parts if part)

    def _setting(self) -> str:
        study = self.study
        seeds = ", ".join(map(str, study.seeds))
        made = "; ".join(" ".join(f"{k} {v}" for k, v in one.items()) for one in study.versions)
        return (
            f"{len(self.standings)} problems, population {study.population}, {study.queries} "
            f"queries, medians over seeds {seeds}. A missed target counts as {PENALTY} budgets; "
            f"costs below {SOLVED:g} count as solved. Made by {made}."
        )

    def _overall(self) -> str:
        rows = [
            [
                title(name),
                one.problems,
                self.study.fewest_seeds(name),
                _factor(one.over_reference),
                f"{one.missed_reference:.0%}",
                one.behind_reference,
                _factor(one.at_its_end),
                _factor(one.over_envelope),
                f"{one.missed_envelope:.0%}",
                _factor(one.over_best_peer),
                one.behind_best_peer if not is_peer(name) else "",
                f"{1e3 * self.study.seconds[name]:.1f}",
                self.study.diverged[name] or "",
            ]
            for name, one in self.summaries.items()
        ]
        head = [
            "method",
            "problems",
            "seeds",
            "factor over joint pycma",
            "targets missed",
            "behind it on",
            "at its last cost",
            "factor over the virtual best peer",
            "targets missed",
            "factor over each problem's best peer",
            "behind it on",
            "ask + tell, CPU ms",
            "runs diverged",
        ]
        return table(head, rows)

    def _grouped(self) -> str:
        """Factors over joint pycma by group; casbo's own also over the best peer."""
        names = list(self.summaries)
        head = ["", "problems", *map(title, names)]
        head += [f"{title(name)} over the best peer" for name in self.own]
        rows = []
        for groups in self.groups().values():
            for group, found in groups.items():
                factors = [_factor(found[n].over_reference) if n in found else "" for n in names]
                best = [_factor(found[n].over_best_peer) if n in found else "" for n in self.own]
                problems = max(one.problems for one in found.values())
                rows.append([group, problems, *factors, *best])
        return "Factor over joint pycma by kind of problem:\n\n" + table(head, rows)

    def _against_strongest(self) -> str:
        if not self.mixtures:
            return ""
        shown = [problem for problem, found in self.mixtures.items() if set(self.own) & set(found)]
        rows = [
            [problem, *(_factor_in(self.mixtures[problem], name) for name in self.own)]
            for problem in shown
        ]
        means = [
            _factor(
                geometric_mean(
                    self.mixtures[problem][name].factor
                    for problem in shown
                    if name in self.mixtures[problem]
                )
            )
            for name in self.own
        ]
        rows.append(["geometric mean", *means])
        return "Factor over VkD-CMA on every Gaussian-mixture problem:\n\n" + table(
            ["problem", *map(title, self.own)], rows
        )

    def _problems(self) -> str:
        """Where casbo's own methods stand on every problem, the worst first."""
        parts = []
        for name in self.own:
            places = [(p, found[name]) for p, found in self.standings.items() if name in found]
            places.sort(key=lambda item: item[1].over_best_peer)
            rows = [
                [
                    problem,
                    _factor(place.over_reference.factor),
                    _missed(place.over_reference),
                    _factor(place.at_its_end.factor),
                    _factor(place.over_envelope.factor),
                    _missed(place.over_envelope),
                    title(place.best_peer),
                    _factor(place.over_best_peer),
                ]
                for problem, place in places
            ]
            head = [
                "problem",
                "over joint pycma",
                "missed",
                "at its last cost",
                "over the virtual best",
                "missed",
                "best peer",
                "over it",
            ]
            parts.append(f"{title(name)}, problem by problem:\n\n" + table(head, rows))
        return "\n\n".join(parts)


def write_between_marks(page: Path, text: str) -> None:
    """Put the text between the marks of a page, in place of what is there.

    Raises:
        CasboError: When there is no such page, or it lacks the marks.
    """
    try:
        old = page.read_text(encoding="utf-8")
    except OSError as error:
        raise CasboError(f"Expected a page to write into at {page}: {error.strerror}.") from error
    found = re.search(f"{re.escape(BEGIN)}.*?{re.escape(END)}", old, re.DOTALL)
    if found is None:
        raise CasboError(f"Expected the marks {BEGIN} and {END} in {page}; they are not there.")
    new = old[: found.start()] + f"{BEGIN}\n{text}\n{END}" + old[found.end() :]
    write_atomically(page, new.encode())


def _factor(value: float) -> str:
    return f"{value:.2f}"


def _factor_in(found: Mapping[str, Comparison], name: str) -> str:
    return _factor(found[name].factor) if name in found else ""


def _missed(comparison: Comparison) -> str:
    return f"{comparison.missed} of {comparison.targets}"


def _plain(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(one) for name, one in found.items()}
