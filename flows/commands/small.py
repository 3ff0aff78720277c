"""Commands that make models smaller: `compress`."""

from flows.commands.arguments import Command, Commands, add_all
from training.arguments import add_compress


def add_commands(commands: Commands) -> None:
    """Add `compress`."""
    add_all(commands, _COMMANDS)


_COMMANDS = (
    Command(
        "compress",
        "store a model's weights in 8 or 4 bits or take out heads, and compare the two",
        add_compress,
        "training.compression.quantize",
    ),
)
