"""A network over probes: sources, passes and their arithmetic, feeding, and what is known of it."""

from pyattrx.running.behavior import described_behaviour, examples
from pyattrx.running.described import Described
from pyattrx.running.description import Description
from pyattrx.running.devices import (
    check_batch_size,
    check_compile,
    device_name,
    resolve_device,
    versions,
)
from pyattrx.running.effects import Effects
from pyattrx.running.failing import Failures, OnError, all_failed, one_by_one
from pyattrx.running.feeding import Arriving, beside, feed, in_turn, lag, unit_floats
from pyattrx.running.observing import Observer
from pyattrx.running.precision import PRECISIONS, arithmetic, check_precision, map_cosines, settled
from pyattrx.running.rounding import ENOUGH, needs_other_arithmetic
from pyattrx.running.sources import Source, check_sources, encoder_of, encoders_of

__all__ = [
    "ENOUGH",
    "PRECISIONS",
    "Arriving",
    "Described",
    "Description",
    "Effects",
    "Failures",
    "Observer",
    "OnError",
    "Source",
    "all_failed",
    "arithmetic",
    "beside",
    "check_batch_size",
    "check_compile",
    "check_precision",
    "check_sources",
    "described_behaviour",
    "device_name",
    "encoder_of",
    "encoders_of",
    "examples",
    "feed",
    "in_turn",
    "lag",
    "map_cosines",
    "needs_other_arithmetic",
    "one_by_one",
    "resolve_device",
    "settled",
    "unit_floats",
    "versions",
]
