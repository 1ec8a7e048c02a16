"""Schedulers that carry a rollout's noise: how casbo chooses the noise of a diffusers pipeline.

No diffusers pipeline takes the noise of its denoising steps as an argument: its scheduler draws
it. So the noise enters through the scheduler: :func:`carrying_scheduler` makes, from a pipeline's
own scheduler and its configuration, one that takes every draw from a :class:`StepNoise` instead of
a random generator, while the pipeline's own ``__call__`` runs untouched.

    scheduler = carrying_scheduler(pipeline.scheduler)
    pipeline.scheduler = scheduler
    scheduler.begin(None)  # probing: which steps take noise, and how much of it
    pipeline(...)
    scheduler.levels, scheduler.latent_shape
    scheduler.begin(StepNoise(start=None, steps={0: noise, ...}), predict=(0,))
    pipeline(..., latents=start)
    scheduler.predicted[0]

Needs diffusers: this package is imported inside the functions that use it.
"""

from .carrier import CarriesNoise, StepNoise
from .diffusion import (
    CarryingDDIM,
    CarryingDDPM,
    CarryingDPMSolverSDE,
    CarryingEulerAncestral,
    CarryingLCM,
    CarryingTCD,
)
from .flow import (
    CarryingFlowCPS,
    CarryingFlowGRPO,
    FlowMatchCPSScheduler,
    FlowMatchGRPOScheduler,
)
from .table import SCHEDULERS, carrying_scheduler

__all__ = [
    "SCHEDULERS",
    "CarriesNoise",
    "CarryingDDIM",
    "CarryingDDPM",
    "CarryingDPMSolverSDE",
    "CarryingEulerAncestral",
    "CarryingFlowCPS",
    "CarryingFlowGRPO",
    "CarryingLCM",
    "CarryingTCD",
    "FlowMatchCPSScheduler",
    "FlowMatchGRPOScheduler",
    "StepNoise",
    "carrying_scheduler",
]
