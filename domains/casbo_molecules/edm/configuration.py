"""What of the official training arguments decides how a model computes."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model import ModelError

#: Arguments that must have the value of the released models, and what they are when left out.
FIXED: Mapping[str, Any] = {
    "model": "egnn_dynamics",
    "probabilistic_model": "diffusion",
    "condition_time": True,
    "attention": True,
    "tanh": True,
    "sin_embedding": False,
    "aggregation_method": "sum",
    "context_node_nf": 0,
    "conditioning": [],
}


@dataclass(frozen=True)
class EdmConfig:
    """Sizes and constants of one model.

    Parameters
    ----------
    width
        Features of a node, ``nf``.
    layers, sublayers
        Equivariant blocks, and message layers in each (``n_layers``, ``inv_sublayers``).
    include_charges
        Whether the state holds the atomic number beside the one-hot element.
    scales
        What positions (Å), one-hot elements and charges are divided by (``normalize_factors``).
    norm_constant
        Added to a distance (Å) where a vector is divided by it.
    normalization_factor
        What sums over neighbours are divided by.
    diffusion_steps
        T, the steps of the full chain.
    noise_schedule
        ``polynomial_P``: alpha^2 falls as (1 - (t/T)^P)^2.
    noise_precision
        s, what keeps alpha^2 from 0 and 1.
    """

    width: int = 256
    layers: int = 9
    sublayers: int = 1
    include_charges: bool = True
    scales: tuple[float, float, float] = (1.0, 4.0, 10.0)
    norm_constant: float = 1.0
    normalization_factor: float = 1.0
    diffusion_steps: int = 1000
    noise_schedule: str = "polynomial_2"
    noise_precision: float = 1e-5

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> EdmConfig:
        """The configuration in official training arguments (``args.pickle``).

        Raises
        ------
        ModelError
            If one is missing or of another kind, or asks for a model that this is not:
            conditional, with a learned schedule, or another network.
        """
        for name, expected in FIXED.items():
            if arguments.get(name, expected) != expected:
                raise ModelError(
                    f"expected {name} = {expected!r} in the training arguments, as in the released "
                    f"unconditional models, got {reprlib.repr(arguments[name])}"
                )
        return cls(
            width=_number(arguments, "nf", int),
            layers=_number(arguments, "n_layers", int),
            sublayers=_number(arguments, "inv_sublayers", int),
            include_charges=_boolean(arguments, "include_charges"),
            scales=_scales(arguments),
            norm_constant=_number(arguments, "norm_constant", float),
            normalization_factor=_number(arguments, "normalization_factor", float),
            diffusion_steps=_number(arguments, "diffusion_steps", int),
            noise_schedule=_schedule(arguments),
            noise_precision=_number(arguments, "diffusion_noise_precision", float),
        )

    def to_arguments(self) -> dict[str, Any]:
        """Training arguments that :meth:`from_arguments` turns into this configuration."""
        return {
            **FIXED,
            "nf": self.width,
            "n_layers": self.layers,
            "inv_sublayers": self.sublayers,
            "include_charges": self.include_charges,
            "normalize_factors": list(self.scales),
            "norm_constant": self.norm_constant,
            "normalization_factor": self.normalization_factor,
            "diffusion_steps": self.diffusion_steps,
            "diffusion_noise_schedule": self.noise_schedule,
            "diffusion_noise_precision": self.noise_precision,
        }

    def channels(self, elements: int) -> int:
        """C, the features of an atom in the state: one for each element, and the charge."""
        return elements + self.include_charges


def _number(arguments: Mapping[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401
    value = arguments.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind is float and isinstance(value, float))) or not 0 < value < 1e6:
        raise ModelError(
            f"expected {name} in the training arguments to be a positive "
            f"{'number' if kind is float else 'whole number'}, got {reprlib.repr(value)}"
        )
    return kind(value)


def _boolean(arguments: Mapping[str, Any], name: str) -> bool:
    value = arguments.get(name)
    if not isinstance(value, bool):
        raise ModelError(
            f"expected {name} in the training arguments to be true or false, got "
            f"{reprlib.repr(value)}"
        )
    return value


def _scales(arguments: Mapping[str, Any]) -> tuple[float, float, float]:
    values = arguments.get("normalize_factors")
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ModelError(
            "expected normalize_factors in the training arguments to be three numbers, for "
            f"positions, elements and charges, got {reprlib.repr(values)}"
        )
    named = {f"normalize_factors[{index}]": value for index, value in enumerate(values)}
    first, second, third = (_number(named, name, float) for name in named)
    return first, second, third


def _schedule(arguments: Mapping[str, Any]) -> str:
    name = arguments.get("diffusion_noise_schedule")
    prefix, _, power = name.partition("_") if isinstance(name, str) else ("", "", "")
    if prefix != "polynomial" or not power.isascii() or not power.isdigit() or not int(power):
        raise ModelError(
            "expected diffusion_noise_schedule = 'polynomial_2', or another power, in the training "
            f"arguments, got {reprlib.repr(name)}"
        )
    return str(name)
