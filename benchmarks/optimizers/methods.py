"""The optimisers of the benchmark by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from casbo.errors import CasboError

from .evolution_strategies import LMMAES, OpenAIES, RandomSearch
from .packages import (
    Casbo,
    Cmaes,
    PyCMA,
    StepwisePyCMA,
    diagonal_pycma,
    vkd_cma,
)
from .peer import Peer


@dataclass(frozen=True)
class Method:
    """An optimiser as a row of the tables.

    Arguments:
        title: What the tables call it.
        make: Makes it for a task; takes options by keyword where it has any.
        peer: Whether it is somebody else's, hence one that casbo's default has to beat.
        most_coordinates: The largest K D at which it is run by default; None: every size.
        configurable: Whether `make` takes options.
    """

    title: str
    make: Callable[..., Peer]
    peer: bool = True
    most_coordinates: int | None = None
    configurable: bool = False


#: The order is the order of the runs: the strongest peers first.
METHODS: Mapping[str, Method] = {
    "pycma": Method("pycma, full", PyCMA),
    "vkd": Method("VkD-CMA", vkd_cma),
    "openai-es": Method("OpenAI-ES, Adam", OpenAIES, configurable=True),
    "stepwise-pycma": Method("K x pycma, score-to-go", StepwisePyCMA),
    "cmaes-sep": Method("cmaes, SepCMA", partial(Cmaes, kind="SepCMA")),
    "pycma-diagonal": Method("pycma, diagonal", diagonal_pycma),
    "lm-ma-es": Method("LM-MA-ES", LMMAES),
    "paper": Method("`paper`", partial(Casbo, rule="paper"), configurable=True),
    "bdtg": Method("`bdtg`", partial(Casbo, rule="bdtg"), configurable=True),
    "ingo": Method("INGO", partial(Casbo, rule="ingo"), configurable=True),
    "random": Method("random search", RandomSearch),
    "cmaes": Method("cmaes, CMA", partial(Cmaes, kind="CMA"), most_coordinates=200),
    "default": Method("`default`", partial(Casbo, rule="default"), peer=False, configurable=True),
    "default-scores-only": Method(
        "`default`, scores only",
        partial(Casbo, rule="default", samples=False),
        peer=False,
        configurable=True,
    ),
}
#: Joint pycma is what a user would pick instead.
REFERENCE = "pycma"


def method_named(name: str) -> Method:
    """The method of a name, or of a label such as `default[pooling=0]`.

    Raises:
        CasboError: When there is none.
    """
    plain = name.split("[", maxsplit=1)[0]
    if plain not in METHODS:
        raise CasboError(f"Expected a method among {', '.join(METHODS)}; got {name!r}.")
    return METHODS[plain]


def label(name: str, options: Mapping[str, Any]) -> str:
    """A method's name with its options, as runs and tables name it."""
    chosen = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{name}[{chosen}]" if chosen else name


def title(name: str) -> str:
    """What tables and figures call a method, by name or label."""
    _, bracket, options = name.partition("[")
    return method_named(name).title + (f" ({options[:-1]})" if bracket else "")
