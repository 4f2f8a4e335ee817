"""The files of an export: where its card lies, and whether all of them are new."""

from pathlib import Path

from nas.errors import InvalidInput
from nas.files import OWN_TEMPORARY, remove_temporaries


def card_path(out: Path) -> Path:
    """Return the path of the model card of the file `out`: NAME.md beside it."""
    return out.with_name(f"{out.name}.md")


def check_new_files(out: Path, *beside: Path) -> None:
    """Raise `InvalidInput` where the file `out`, its card or one of the files `beside` it exists already.

    Temporary files that killed exports left in the folder are removed.
    """
    remove_temporaries(out.parent, OWN_TEMPORARY, inside=False)
    for path in (out, card_path(out), *beside):
        if path.exists():
            raise InvalidInput(f"{path} exists; name another file with --out, or remove it")
    if not out.parent.is_dir():
        raise InvalidInput(f"cannot write {out}: there is no folder {out.parent}")
