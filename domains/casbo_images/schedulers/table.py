"""Which scheduler can carry the noise of which pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    SchedulerMixin,
)

from ..errors import ImageError
from .carrier import CarriesNoise
from .diffusion import (
    CarryingDDIM,
    CarryingDDPM,
    CarryingDPMSolverSDE,
    CarryingEulerAncestral,
    CarryingLCM,
    CarryingTCD,
)
from .flow import CarryingFlowCPS, CarryingFlowGRPO

#: Name -> scheduler class that carries a rollout's noise.
SCHEDULERS: Mapping[str, type[CarriesNoise]] = MappingProxyType(
    {
        "ddim": CarryingDDIM,
        "ddpm": CarryingDDPM,
        "euler_ancestral": CarryingEulerAncestral,
        "dpm_sde": CarryingDPMSolverSDE,
        "lcm": CarryingLCM,
        "tcd": CarryingTCD,
        "flow_cps": CarryingFlowCPS,
        "flow_grpo": CarryingFlowGRPO,
    }
)

#: For a model of each kind, the names that sample it, the default first. For flow matching that is
#: Flow-GRPO: on the exact model of Gaussian data it keeps the variance best at any number of steps
#: (20 steps of noise level 0.7, unit variance: 0.98, CPS 0.64), and CPS keeps losing some however
#: many steps there are. ``test_flow_grpo_keeps_the_variance_best`` measures it.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "diffusion": ("ddim", "ddpm", "euler_ancestral", "dpm_sde", "lcm", "tcd"),
        "flow matching": ("flow_grpo", "flow_cps"),
        "flow matching by a diffusion solver": ("dpm_sde",),
    }
)

#: The configuration by which a diffusion model's noise schedule is known to all its schedulers.
SCHEDULE = frozenset({"num_train_timesteps", "beta_schedule", "prediction_type"})

#: Schedulers with such a configuration that mean something else by it, and why.
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "CogVideoXDDIMScheduler": "it rescales the noise schedule and ignores noise given to it",
        "CogVideoXDPMScheduler": "it rescales the noise schedule and ignores noise given to it",
        "DDIMInverseScheduler": "it turns pictures into noise",
        "DPMSolverMultistepInverseScheduler": "it turns pictures into noise",
        "UnCLIPScheduler": "its pipeline calls its step as no other scheduler has it",
    }
)


def carrying_scheduler(
    scheduler: Any,  # noqa: ANN401 - a diffusers scheduler, checked below
    name: str | None = None,
    **options: Any,  # noqa: ANN401 - those of the scheduler chosen
) -> Any:  # noqa: ANN401 - a scheduler that CarriesNoise; diffusers is not typed that far
    """A scheduler for the same model that carries a rollout's noise, ready to probe.

    Arguments:
        scheduler: A pipeline's own scheduler; it is left as it is.
        name: One of `SCHEDULERS`. By default the pipeline's own kind if it injects noise;
            otherwise "flow_grpo" for flow matching, "dpm_sde" for flow matching by a diffusion
            solver, and "ddim" for diffusion models.
        options: Options of the scheduler, in place of those of the pipeline's configuration:
            ``eta`` of "ddim" and "tcd", ``noise_level`` of the flow samplers, ``timestep_spacing``
            and others that diffusers documents.

    Returns:
        A :class:`CarriesNoise` that is a diffusers scheduler too, for ``pipeline.scheduler``.

    Raises:
        ImageError: If the scheduler cannot be replaced by one that carries noise, or the name or
            an option is unknown or does not fit it.
    """
    if name is not None and name not in SCHEDULERS:
        raise ImageError(f"expected a scheduler among {listed(SCHEDULERS)}, got {name!r}")
    kind = kind_of(scheduler)
    if name is None:
        name, own = own_choice(scheduler, kind)
        options = {**own, **options}
    if name not in KINDS[kind]:
        raise ImageError(
            f"expected a scheduler for {kind} in place of {type(scheduler).__name__}, got "
            f"{name!r}: choose {listed(KINDS[kind])}"
        )
    # values the configuration took by default count too: defaults differ between schedulers
    config = {k: v for k, v in scheduler.config.items() if k != "_use_default_values"}
    if kind == "diffusion":
        config.setdefault("clip_sample", False)  # DDIM's own default is for pixels
    check(scheduler, name, config, options)
    chosen: Any = SCHEDULERS[name]
    try:
        carrying = chosen.from_config(config, **options)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ImageError(f"expected options that {name!r} accepts, got: {error}") from error
    carrying.begin(None)
    return carrying


def kind_of(scheduler: Any) -> str:  # noqa: ANN401
    """The kind of model that a scheduler samples, a key of `KINDS`.

    Raises:
        ImageError: If it is no scheduler or one that no other can replace.
    """
    kind = type(scheduler).__name__
    works = (
        "use a pipeline whose scheduler is a FlowMatchEulerDiscreteScheduler or shares its "
        f"configuration with DDIMScheduler; then {listed(SCHEDULERS)} work"
    )
    if not isinstance(scheduler, SchedulerMixin) or not hasattr(scheduler, "config"):
        raise ImageError(f"expected a diffusers scheduler, got {kind}: {works}")
    if kind in REFUSED:
        raise ImageError(
            f"expected a scheduler that can carry noise, got {kind}: {REFUSED[kind]}; {works}"
        )
    if is_flow_matching(scheduler):
        if scheduler.config.get("invert_sigmas", False):
            raise ImageError(f"expected noise levels that fall, got invert_sigmas: {works}")
        return "flow matching"
    if not set(scheduler.config) >= SCHEDULE:
        raise ImageError(f"expected a scheduler that another can replace, got {kind}: {works}")
    if scheduler.config.get("use_flow_sigmas", False):
        return "flow matching by a diffusion solver"
    return "diffusion"


def is_flow_matching(scheduler: Any) -> bool:  # noqa: ANN401
    """Whether a scheduler is one of diffusers' for flow matching, by name where it is recent."""
    return (
        isinstance(scheduler, FlowMatchEulerDiscreteScheduler | FlowMatchHeunDiscreteScheduler)
        or type(scheduler).__name__ == "FlowMatchLCMScheduler"
    )


def own_choice(scheduler: Any, kind: str) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    """The name that keeps a pipeline's own sampler if that injects noise, and options for it.

    Raises:
        ImageError: If the sampler draws its noise from a Brownian tree, which no name keeps.
    """
    for name, carrying in SCHEDULERS.items():
        if isinstance(scheduler, carrying):
            return name, {}
    config = scheduler.config
    if kind == "flow matching" and (
        config.get("stochastic_sampling", False)
        or type(scheduler).__name__ == "FlowMatchLCMScheduler"
    ):
        return "flow_cps", {"noise_level": 1.0}  # x' = (1 - sigma') x_0 + sigma' z: the same
    if type(scheduler).__name__ == "DPMSolverSDEScheduler":
        raise ImageError(
            "expected a scheduler that draws independent noise in every step, got "
            "DPMSolverSDEScheduler, which has a Brownian tree: choose 'dpm_sde' (the nearest) or "
            f"another of {listed(KINDS[kind])}"
        )
    if isinstance(scheduler, DPMSolverMultistepScheduler):
        stochastic = config.algorithm_type.startswith("sde")
        return ("dpm_sde" if stochastic else KINDS[kind][0]), {}
    for name in KINDS["diffusion"]:
        if issubclass(SCHEDULERS[name], type(scheduler)):
            return name, {}
    return KINDS[kind][0], {}


def check(
    scheduler: Any,  # noqa: ANN401
    name: str,
    config: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Refuse unknown options, and prediction types that a scheduler has not."""
    known = set(inspect.signature(SCHEDULERS[name].__init__).parameters) - {"self"}
    if unknown := sorted(set(options) - known):
        raise ImageError(
            f"expected options of {name!r} among {listed(sorted(known))}, got {listed(unknown)}"
        )
    prediction = options.get("prediction_type", config.get("prediction_type"))
    if name == "euler_ancestral" and prediction == "sample":
        others = [other for other in KINDS[kind_of(scheduler)] if other != name]
        raise ImageError(
            "expected a model that predicts noise or velocity for 'euler_ancestral', got "
            f"prediction_type 'sample': choose {listed(others)}"
        )


def listed(names: Any) -> str:  # noqa: ANN401 - any collection of names
    """Names in quotes, for an error."""
    return ", ".join(repr(name) for name in names)
