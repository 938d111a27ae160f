"""Which pretrained network to start from, told from attribution maps."""

from pyattrx import errors, ops
from pyattrx._progress import set_progress
from pyattrx.errors import PyattrxError

__all__ = ["PyattrxError", "errors", "ops", "set_progress"]
