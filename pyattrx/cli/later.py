"""The commands by name: the module of one is imported when it is asked for.

Torch takes seconds, and neither the list of commands nor the version needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer

from pyattrx.cli.running import Commands

__all__ = ["COMMANDS", "LaterCommands"]

# Each with its module, which adds it and maybe others, and the first line of its help.
COMMANDS = {
    "env": ("environment", "Show versions, devices and which optional parts are installed."),
    "demo": (
        "demo",
        "Which of seven real networks to start from, for real images? And what else there is.",
    ),
    "recommend": ("recommend", "Which of these networks to start from, for my images?"),
    "affinity": ("affinity", "Compute the affinities between networks over a folder of images."),
    "layers": ("layers", "From which layer of this network should a task start?"),
    "maps": (
        "maps",
        "Draw the attribution maps of a network: each image, and beside it what its answer is "
        "from.",
    ),
    "faithfulness": (
        "faithfulness",
        "Are attribution maps faithful: does an answer change where they say?",
    ),
    "explain": (
        "explain",
        "Tell why two networks are near: which channels of a layer carry their affinity.",
    ),
    "fit": (
        "fit",
        "Train a small network for a task that has none yet, to look for its nearest sources.",
    ),
    "query": ("query", "Find the nearest sources for a target, or for several in one go."),
    "evaluate": (
        "evaluate",
        "Judge the rankings of affinities by measured transfers, with intervals.",
    ),
    "published": (
        "published",
        "Judge scores by accuracies that others published, beside rankings without any network.",
    ),
    "cache": ("recommend", "What is kept of networks' features."),
    "zoo": ("zoo", "Networks on disk, added once and asked about for ever."),
    "bench": ("bench", "Measure the kernels; every result is checked."),
}


class LaterCommands(Commands):
    """A group whose own commands have a name and a line of help, and are no more than that."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pyattrx.cli.{COMMANDS[cmd_name][0]}")
        part = typer.Typer(rich_markup_mode=None)
        part.callback()(lambda: None)  # a group, also where there is one command
        module.add_commands(part)
        found: Any = typer.main.get_command(part)
        return found.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without importing them."""
        room = formatter.width - 6 - max(map(len, self.commands))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(room)) for name, one in self.commands.items()]
            )
