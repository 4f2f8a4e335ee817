"""`python -m nas`: the command line."""

from nas.cli import program

if __name__ == "__main__":
    raise SystemExit(program())
