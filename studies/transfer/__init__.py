"""Does a ranking predict transfer? Methods, scores, ground truth, and what follows from them."""
