"""Files of published data sets on the user's disk: the folder where they are looked up, and the check of their MD5."""

import os
from hashlib import md5
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import read_bytes, usable_path


def data_folder(data_dir: Path | None) -> Path:
    """Return the folder of published data sets: `data_dir`, else what NAS_DATA_DIR names, else ~/.cache/nas."""
    return Path(usable_path(str(data_dir or os.environ.get("NAS_DATA_DIR") or "~/.cache/nas")))


def read_published(path: Path, published_md5: str) -> bytes:
    """Return the content of `path`; `InvalidInput` where it is not the published file."""
    data = read_bytes(path)
    found = md5(data, usedforsecurity=False).hexdigest()
    if found != published_md5:
        raise InvalidInput(f"{path} must have the published MD5 {published_md5}, got {found}; fetch the file again")
    return data


def missing(title: str, folder: Path, requested: str) -> InvalidInput:
    """Return the error for a data set whose files are not in `folder`; `requested` names the files to put there."""
    return InvalidInput(
        f"{title} is not in {folder}: put {requested} there, or name their folder with NAS_DATA_DIR; "
        "nothing is downloaded for you"
    )
