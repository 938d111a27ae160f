"""Taskonomy in miniature: rendered rooms, twenty tasks, encoders, and what really transfers."""
