"""What is on disk: a zoo's catalog, its rows and sketches, and how they get there and back.

Whoever is outside imports from here, and not from the modules inside (a test keeps it).
"""

from pyattrx.storage.addition import Addition
from pyattrx.storage.arguments import (
    BESIDE,
    Run,
    check_encoders,
    check_name,
    check_path,
    check_tags,
    check_wait,
    fingerprint,
    maps_hash,
    not_integer,
    now,
)
from pyattrx.storage.catalog import ROWS, SKETCH, EntryRow, Located
from pyattrx.storage.creating import create
from pyattrx.storage.entry import Entry, Report, Verification, note_failure
from pyattrx.storage.features import (
    FACTS,
    FEATURES_RERANK,
    NEAREST,
    StoredFeatures,
    arrays_of,
    facts_of,
    resolve_features,
    summarized,
)
from pyattrx.storage.given import check_all_maps, check_facts, check_maps, row_width
from pyattrx.storage.reading import read_sketches, read_summaries, without_records
from pyattrx.storage.segments import segment_sizes
from pyattrx.storage.sketches import Sketcher, block_cosines, blocks_of
from pyattrx.storage.store import Store, StoredMethod
from pyattrx.storage.verifying import verify

__all__ = [
    "BESIDE",
    "FACTS",
    "FEATURES_RERANK",
    "NEAREST",
    "ROWS",
    "SKETCH",
    "Addition",
    "Entry",
    "EntryRow",
    "Located",
    "Report",
    "Run",
    "Sketcher",
    "Store",
    "StoredFeatures",
    "StoredMethod",
    "Verification",
    "arrays_of",
    "block_cosines",
    "blocks_of",
    "check_all_maps",
    "check_encoders",
    "check_facts",
    "check_maps",
    "check_name",
    "check_path",
    "check_tags",
    "check_wait",
    "create",
    "facts_of",
    "fingerprint",
    "maps_hash",
    "not_integer",
    "note_failure",
    "now",
    "read_sketches",
    "read_summaries",
    "resolve_features",
    "row_width",
    "segment_sizes",
    "summarized",
    "verify",
    "without_records",
]
