"""The commands of `nas`: one module per command with a function `run(args)`, named here in the order of `nas --help`.

A new command is a line here, its flags in nas/cli/flags/COMMAND.py, and its work in nas/cli/commands/COMMAND.py.
"""

from typing import NamedTuple


class Command(NamedTuple):
    """What `nas --help` says of a command."""

    group: str
    summary: str


COMMANDS = {
    "search": Command("search", "find a network for a device"),
    "resume": Command("search", "go on with an interrupted search"),
    "finalists": Command("search", "train the best of a search alone, the weak ones stopped early"),
    "rank": Command("search", "what ranks networks on your images: some trained alone, predictors compared"),
    "spaces": Command("search", "list the search spaces with their sizes"),
    "runs": Command("runs", "list the runs below a folder with their states"),
    "watch": Command("runs", "show a run of another terminal as it goes, until it ends"),
    "show": Command("runs", "print again what a finished run, training or comparison found"),
    "zoo": Command("networks", "list the reference networks"),
    "describe": Command("networks", "draw a network with its costs on a device"),
    "compare": Command("networks", "networks side by side: accuracy against latency, per device"),
    "scale": Command("networks", "a network deeper, wider and for larger images, up to a latency"),
    "train": Command("networks", "train one network, or its proxy, alone"),
    "recipes": Command("networks", "list the recipes of trainings, or print one"),
    "reinforce": Command("networks", "what a teacher says of augmented images, stored for trainings and searches"),
    "deploy": Command("networks", "train what was found, export it, and make it name the class of an image"),
    "export": Command("networks", "write a network for use elsewhere"),
    "sensitivity": Command("networks", "what each layer of a trained network loses in int8"),
    "targets": Command("devices", "list the devices"),
    "measure": Command("devices", "measure the latency of networks on this host"),
    "calibrate": Command("devices", "a target of your own from measured latencies"),
    "completion": Command("shell", "complete commands, flags and names in bash, zsh or fish"),
}
