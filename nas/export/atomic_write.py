"""Several files written together: all of them, or none where one cannot be written."""

from contextlib import suppress
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import write_whole


def card_path(out: Path) -> Path:
    """Return the path of the model card of the file `out`: NAME.md beside it."""
    return out.with_name(f"{out.name}.md")


def check_new_files(out: Path, *beside: Path) -> None:
    """Raise `InvalidInput` where the file `out`, its card or one of the files `beside` it exists already."""
    for path in (out, card_path(out), *beside):
        if path.exists():
            raise InvalidInput(f"{path} exists; name another file with --out, or remove it")
    if not out.parent.is_dir():
        raise InvalidInput(f"cannot write {out}: there is no folder {out.parent}")


def write_together(files: dict[Path, bytes | str]) -> None:
    """Write all files, each whole; where one cannot be written, those before it are removed."""
    written: list[Path] = []
    try:
        for path, content in files.items():
            write_whole(path, content)
            written.append(path)
    except BaseException:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise
