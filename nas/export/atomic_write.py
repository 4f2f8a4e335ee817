"""A file and its model card appear together, or neither does."""

from contextlib import suppress
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import write_whole


def card_of(out: Path) -> Path:
    """Return where the model card of the file `out` lies: beside it, NAME.md."""
    return out.with_name(f"{out.name}.md")


def check_free(out: Path, *aside: Path) -> None:
    """Raise `InvalidInput` unless the file `out`, its card and the files `aside` can be new."""
    for path in (out, card_of(out), *aside):
        if path.exists():
            raise InvalidInput(f"{path} exists; name another file with --out, or remove it")
    if not out.parent.is_dir():
        raise InvalidInput(f"cannot write {out}: there is no folder {out.parent}")


def deliver(files: dict[Path, bytes | str]) -> None:
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
