"""Benchmarks that check what they time: ``python -m benchmarks --help``."""
