"""Scores held against what strangers' networks really reach on strangers' images."""
