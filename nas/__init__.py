"""Hardware-aware neural architecture search for on-device networks.

    from nas import search, compare, export, predict, ArchSpec

What stands here is loaded when it is first asked for: importing this package imports nothing else. The whole Python
interface is nas/api.py; READ FIRST for the engine inside: nas/protocols.py.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import compare, describe, export, load, predict, resume, search, specialise, train
    from nas.arch import ArchSpec
    from nas.errors import InvalidInput, Stopped, UnknownName

    __version__: str

__all__ = [
    "ArchSpec",
    "InvalidInput",
    "Stopped",
    "UnknownName",
    "__version__",
    "compare",
    "describe",
    "export",
    "load",
    "predict",
    "resume",
    "search",
    "specialise",
    "train",
]

_HOMES = {"ArchSpec": "nas.arch", "InvalidInput": "nas.errors", "Stopped": "nas.errors", "UnknownName": "nas.errors"}


class _Package(ModuleType):
    """This package: its public names are loaded on demand, and keep their meaning beside subpackages of equal names.

    When `nas.search` (the package of algorithms) is imported, the import system binds it to the attribute `search`
    here, where users expect the function. Such a binding is ignored; write `from nas.search import loop`, not
    `import nas.search.loop as loop`, which would look for it.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return _version()
        if name not in __all__:
            raise AttributeError(f"module 'nas' has no attribute '{name}'")
        return getattr(import_module(_HOMES.get(name, "nas.api")), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # 20 ms that nothing else needs

    try:
        return version("nas-engine")
    except PackageNotFoundError:
        return "0+not.installed"


sys.modules[__name__].__class__ = _Package
