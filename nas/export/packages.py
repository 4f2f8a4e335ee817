"""Check for the packages of the extra `export`, which a user may not have installed."""

from importlib.util import find_spec

from nas.errors import InvalidInput

PYPI_NAMES = {"ai_edge_litert": "ai-edge-litert"}  # of packages whose import has another name
INSTALL = "pip install '.[export]' in the folder of this project"


def installed(package: str) -> bool:
    """Return whether `package` can be imported, without importing it."""
    return find_spec(package) is not None


def need(*packages: str) -> None:
    """Raise `InvalidInput`, with the command that installs them, unless all `packages` are installed."""
    for package in packages:
        if not installed(package):
            raise InvalidInput(f"this needs the package {package}, which is not installed: {INSTALL}")
