"""What XLA compiled is kept for the next run, within a size, and what cannot be read is compiled again."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from nas.cli import compilation_cache
from nas.cli.compilation_cache import FOLDER_VARIABLE, SHORTEST_VARIABLE, keep_compiled, processor, trim


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A folder in which jax keeps all that it compiles, and the jax of before."""
    from jax._src import compilation_cache as of_jax

    values = {
        "jax_compilation_cache_dir": str(tmp_path / "kept"),
        "jax_persistent_cache_min_compile_time_secs": 0,
    }
    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    of_jax.reset_cache()  # one that was opened before, by another test
    yield tmp_path / "kept"
    for name, value in before.items():
        jax.config.update(name, value)
    of_jax.reset_cache()


def test_it_lies_in_a_folder_of_this_processor_unless_the_user_named_one(home: Path) -> None:
    environment: dict[str, str] = {}
    keep_compiled(environment)
    assert Path(environment[FOLDER_VARIABLE]) == home / ".cache/nas/compiled" / processor()
    assert float(environment[SHORTEST_VARIABLE]) > 0
    for named in ("", str(home / "own")):
        environment = {FOLDER_VARIABLE: named}
        keep_compiled(environment)
        assert environment == {FOLDER_VARIABLE: named}


def test_without_a_home_that_can_be_written_nothing_is_kept(home: Path) -> None:
    (home / ".cache").write_text("a file where the folder would be")
    environment: dict[str, str] = {}
    keep_compiled(environment)
    assert environment == {}


def test_a_folder_that_others_can_write_is_not_used(home: Path) -> None:
    folder = home / ".cache/nas/compiled" / processor()
    for mode, used in ((0o777, False), (0o700, True)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        environment: dict[str, str] = {}
        keep_compiled(environment)
        assert (FOLDER_VARIABLE in environment) == used


def test_the_files_longest_unused_go(tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    for age, name in enumerate(("new", "middle", "old")):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    trim(folder, 300)
    assert len(list(folder.iterdir())) == 3
    trim(folder, 200)
    assert {path.name for path in folder.iterdir()} == {"new", "middle"}
    trim(folder, 0)
    assert not list(folder.iterdir())


@pytest.mark.filterwarnings("default")
def test_an_entry_cut_off_by_a_kill_is_compiled_again_and_read_the_next_time(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compilation_cache.keep_compiled({FOLDER_VARIABLE: str(cache)})

    def of_three(x: jax.Array) -> jax.Array:
        return jnp.tanh(x) * 3

    def run() -> Path:
        jax.clear_caches()
        assert jax.jit(of_three)(jnp.ones(3)).shape == (3,)
        (entry,) = cache.glob("jit_of_three-*-cache")
        return entry

    whole = run().stat().st_size
    os.truncate(run(), whole // 2)
    written = run().stat()
    assert written.st_size > whole // 2
    assert run().stat().st_mtime_ns == written.st_mtime_ns
    assert capsys.readouterr().err == ""
