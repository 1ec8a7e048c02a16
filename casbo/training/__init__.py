"""Training small models. Steering trains nothing; what the domains ship was trained with this."""

from casbo.training.command_line import arguments, begin
from casbo.training.loop import Checkpoint, Schedule, train

__all__ = ["Checkpoint", "Schedule", "arguments", "begin", "train"]
