"""Pictures: heat map, task similarity tree, gallery of attribution maps, precision curves,
recommendation, channels, layers, faithfulness of maps.

Needs matplotlib (the extra ``plot``), which is imported with the first picture. The figures do not
touch pyplot or the user's settings, and the same input gives the same picture, to the byte for SVG.
"""

from pyattrx.report import canvas
from pyattrx.report._channels import channels_figure
from pyattrx.report._curves import Curve, curves_figure
from pyattrx.report._depth import depth_figure
from pyattrx.report._faithfulness import faithfulness_figure
from pyattrx.report._gallery import gallery
from pyattrx.report._heatmap import heatmap
from pyattrx.report._recommendation import recommendation_figure
from pyattrx.report._tree import tree_figure
from pyattrx.report.canvas import require_matplotlib

__all__ = [
    "Curve",
    "canvas",
    "channels_figure",
    "curves_figure",
    "depth_figure",
    "faithfulness_figure",
    "gallery",
    "heatmap",
    "recommendation_figure",
    "require_matplotlib",
    "tree_figure",
]
