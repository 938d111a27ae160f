"""Do networks' more faithful maps rank sources better?

The criterion, written before anything was measured. For each of the 18 targets of MiniTaskonomy,
and its own encoder (those of the demo, on the demo's first 32 probes), every attribution method of
`METHODS` has two numbers:

- how faithful its maps are: the gain over a random order of `pyattrx.faithfulness` where the most
  attributed is occluded first (order "strongest"), 8 steps;
- how well it ranks: Spearman's correlation of its affinities to that target with the measured
  transfers, over the 19 other networks.

Spearman's correlation of the two over the methods says whether the more faithful one ranks better,
for that target. The answer is "yes" only if the mean over the targets has a 95 % interval
(Student's t over targets) above 0 in every one of eight settings: followed by the distance of
outputs or by the attributed number, occluded by the image's mean colour or by its blur, in patches
of 1 or of 4 pixels. It is "the other way round" if all eight intervals are below 0, and "no"
otherwise.

What this cannot say: methods are few and kin to one another, targets share their sources, and the
networks are small. An interval over targets takes the methods as given.
"""

METHODS = (
    "saliency", "grad_x_input", "elrp", "abs_grad_x_input", "abs_elrp",
    "saliency_hsn", "grad_x_input_hsn", "elrp_hsn", "abs_grad_x_input_hsn", "abs_elrp_hsn",
    "grad_x_activation", "grad_x_activation_hsn", "integrated_gradients",
    "integrated_gradients_hsn", "conductance", "conductance_hsn",
)  # fmt: skip
"""Names of methods, and of their tables of scores, in the study of transfer."""
