"""Networks run by other processes: of this machine, or of a cluster."""

from pyattrx.workers.answers import Outcome
from pyattrx.workers.choosing import Workers, check_method, check_sendable, engine_of
from pyattrx.workers.described import Counts, DescribedElsewhere, described
from pyattrx.workers.engine import Engine, Job, Shared, Task
from pyattrx.workers.local import LocalEngine
from pyattrx.workers.on_ray import RayEngine

__all__ = [
    "Counts",
    "DescribedElsewhere",
    "Engine",
    "Job",
    "LocalEngine",
    "Outcome",
    "RayEngine",
    "Shared",
    "Task",
    "Workers",
    "check_method",
    "check_sendable",
    "described",
    "engine_of",
]
