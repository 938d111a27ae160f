"""Scores judged on real networks and real labelled images, which the user brings along."""
