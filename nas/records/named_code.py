"""The code that the settings of a run name, and the commands that name it too: without that, it does not run.

Everything here reads experiment.json as it stands and imports nothing: a file never runs code by itself.
"""

import shlex
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput
from nas.files import read_json
from nas.registry import ARGUMENTS, UnstatedCode, addresses, stated

FLAGS = {  # setting of a run that may name code -> the flag that names it too
    "space": "--space", "target": "--target", "latency_model": "--latency-model", "data": "--data",
    "minimize": "--minimize", "evaluator": "--evaluator", "algorithm": "--algorithm",
    "accuracy_model": "--accuracy-model",
}  # fmt: skip
OF_SOURCES = ("space", "target", "data")  # what a run's images, space and target need


def named_code(stored: Any) -> dict[str, tuple[str, ...]]:
    """Return what the content of an experiment.json names as code: setting -> every "module:attribute" in it."""
    found: dict[str, dict[str, None]] = {}
    for settings in _settings(stored):
        for name in FLAGS:
            found.setdefault(name, {}).update(dict.fromkeys(addresses(settings.get(name))))
    return {name: tuple(each) for name, each in found.items() if each}


def _settings(stored: Any) -> list[Mapping[str, Any]]:
    """Return every table of settings in the content of an experiment.json, that of each target included."""
    if not isinstance(stored, dict):
        return []
    request = stored.get("request")
    several = request.get("settings") if isinstance(request, dict) else None
    tables = [stored, stored.get("settings"), request, *(several if isinstance(several, list) else ())]
    return [table for table in tables if isinstance(table, dict)]


def check_named(stored: Any, settings: Collection[str] = FLAGS) -> None:
    """Raise `UnstatedCode` with everything that the content of an experiment.json names and no call has named.

    `settings` are those that the work at hand needs, by default all.
    """
    known, found = stated(), named_code(stored)
    names = [(ARGUMENTS[setting], name) for setting in found if setting in settings for name in found[setting]]
    if missing := [name for name in names if name not in known]:
        raise UnstatedCode(missing)


def check_repeated(stored: Any, arguments: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` where an argument, a repeated setting of a run, is not as its experiment.json has it."""
    known = named_code(stored)
    for setting, flag in FLAGS.items():
        value = arguments.get(setting)
        if setting != "data" and value is not None and set(str(value).split(",")) != set(known.get(setting, ())):
            raise InvalidInput(
                f"{flag} only repeats what the run names as code, {', '.join(known.get(setting, ('nothing',)))}; the "
                "settings of a run stay as they are: leave it out, or start a new run"
            )


def code_flags(stored: Any, settings: Collection[str] = FLAGS) -> list[str]:
    """Return the words of a command that name the code in the content of an experiment.json, by default all of it."""
    found = named_code(stored)
    return [word for one in found if one in settings for word in (FLAGS[one], ",".join(found[one]))]


def command_on(run: Path, *words: str, settings: Collection[str] = FLAGS) -> str:
    """Return a whole command of these `words` on a run, which names the code that it needs of the run's `settings`."""
    stored = None
    with suppress(InvalidInput):
        stored = read_json(run / "experiment.json")
    return shlex.join(("nas", *words, *code_flags(stored, settings)))


def resume_command(run: Path) -> str:
    """Return the whole command that goes on with a run: `nas resume RUN`, and the code that its settings name."""
    return command_on(run, "resume", str(run))
