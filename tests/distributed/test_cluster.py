"""What a cluster is started with: a folder of its own whatever others left, and a token unless the user forbids it."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest

from nas.distributed import cluster
from nas.errors import InvalidInput

NOBODY = 2**22 + 1  # no process has this number


def test_broken_leftovers_do_not_stop_a_new_cluster() -> None:
    link, folder = (Path(f"/tmp/{cluster.FOLDER}{NOBODY}-{end}-{os.getpid()}") for end in ("link", "folder"))
    link.symlink_to("nowhere")
    folder.mkdir()
    try:
        made = Path(cluster._new_folder())
        assert made.is_dir() and not folder.exists()
        made.rmdir()
    finally:
        link.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def test_without_a_place_for_its_folder_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(InvalidInput, match=r"No space left on device.*leave out --workers"):
        cluster._new_folder()


def test_a_cluster_without_a_token_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.AUTH_MODE, "disabled")
    with pytest.warns(UserWarning, match="RAY_AUTH_MODE=disabled: whoever reaches the ports"):
        cluster._say_where_no_token_is_asked()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in ("token", "TOKEN"):
            monkeypatch.setenv(cluster.AUTH_MODE, value)
            cluster._say_where_no_token_is_asked()
        monkeypatch.delenv(cluster.AUTH_MODE)
        cluster._say_where_no_token_is_asked()
