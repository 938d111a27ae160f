"""Tasks: images and what is known of them."""

from pyattrx.tasks.report import TaskReport
from pyattrx.tasks.task import Task

__all__ = ["Task", "TaskReport"]
