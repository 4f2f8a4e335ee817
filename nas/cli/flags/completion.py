"""nas completion: its flags."""

import argparse

DESCRIPTION = """\
Print a script that completes commands, flags, names and files in a shell.
bash: eval "$(nas completion bash)" in ~/.bashrc
zsh:  eval "$(nas completion zsh)" in ~/.zshrc, after compinit
fish: nas completion fish > ~/.config/fish/completions/nas.fish"""
EXAMPLE = "nas completion bash"
SHELLS = ("bash", "zsh", "fish")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument_group("what to print").add_argument(
        "shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}"
    )
