"""What the runtime of a target does not run: ops and activations, each with its source, and where a network has them.

A target file states them as a list, one entry per op (its name in spec files) or activation:

    [[unsupported]]
    op = "mobile_mqa"
    falls_back = false
    source = "arXiv 2404.10518v2, Tab. 6"

`falls_back` says what becomes of a network with it: true, the runtime leaves that op to the CPU, false, the runtime
refuses the network. Either way a latency predicted for it on the target is not one that it will have.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from latency_models.sourced_values import check_key, text
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import FAMILIES, Act, Op

UnsupportedKind = Literal["op", "act"]
KEYS = ("op", "act", "falls_back", "source")
MOST_LISTED, FIRST_LISTED = 8, 3  # ops in a text: up to so many each, of more so many of the first
HEAD = "head"  # position of the head, which is no op of a stage
WORDS = {"mobile_mqa": "attention", "gelu": "GELU"}  # of names that read better otherwise


@dataclass(frozen=True)
class Unsupported:
    """An op or activation that the runtime of a target does not run, as its file states it."""

    kind: UnsupportedKind
    name: str  # of an op in spec files, or of an activation
    falls_back: bool  # to the CPU; else the runtime refuses the whole network
    source: str

    def is_in(self, op: Op) -> bool:
        """Return whether `op` is this op, or has this activation in a layer of its own."""
        return op.tag == self.name if self.kind == "op" else self.name in activations(op)

    @property
    def consequence(self) -> str:
        """What becomes of a network that has it, as a clause."""
        return "it falls back to the CPU" if self.falls_back else "the runtime refuses the network"

    def to_json(self) -> dict[str, Any]:
        """Return the entry as plain JSON values, with the keys of its file."""
        return {self.kind: self.name, "falls_back": self.falls_back, "source": self.source}


class Device(Protocol):
    """What states what its runtime does not run: a `Target`, or the `Roofline` made of one."""

    @property
    def name(self) -> str: ...
    @property
    def unsupported(self) -> tuple[Unsupported, ...]: ...


@dataclass(frozen=True)
class Refusal:
    """An op of a network that a target does not run: where it is, and which op or activation that is."""

    position: str  # "stage.op", or "head"
    unsupported: Unsupported

    @property
    def name(self) -> str:
        """The name of the op or activation."""
        return self.unsupported.name

    def to_json(self) -> dict[str, Any]:
        """Return the refusal as plain JSON values."""
        return {"position": self.position, **self.unsupported.to_json()}


def activations(op: Op) -> tuple[str, ...]:
    """Return the activations of the layers that `op` has; that of an absent squeeze-excite does not count."""
    found = {name: getattr(op, name) for name, role in op.roles().items() if role.is_activation}
    if not getattr(op, "se_channels", 1):
        found.pop("se_act", None)
    return tuple(dict.fromkeys(found.values()))


def is_supported(target: Device, op: Op) -> bool:
    """Return whether the runtime of `target` runs `op`, whatever the shape of its input, as far as its file says."""
    return not any(one.is_in(op) for one in target.unsupported)


def refused_by(target: Device, arch: ArchSpec) -> tuple[Refusal, ...]:
    """Return what the runtime of `target` does not run of `arch`, in the order of the network; the head comes last."""
    if not target.unsupported:
        return ()
    ops = [*((position, op) for position, op, _ in arch.iter_ops()), (HEAD, arch.head)]
    return tuple(Refusal(position, one) for position, op in ops for one in target.unsupported if one.is_in(op))


def refusal_texts(target: Device, arch: ArchSpec) -> Iterator[str]:
    """Yield a line per op or activation of `arch` that `target` does not run: where it is, what follows, the source."""
    for one, positions in refusals_by_name(target, arch).items():
        yield f"'{target.name}' runs no {one.name} ({places_text(positions)}), {one.consequence}: {one.source}"


def refusals_by_name(target: Device, arch: ArchSpec) -> dict[Unsupported, list[str]]:
    """Return the positions in `arch` of each op or activation that `target` does not run."""
    found: dict[Unsupported, list[str]] = {}
    for refusal in refused_by(target, arch):
        found.setdefault(refusal.unsupported, []).append(refusal.position)
    return found


def left_out_text(target: Device, left_out: Sequence[Unsupported]) -> str:
    """Return the line of a plan on what a search for `target` leaves out of its space, "" where it leaves out nothing.

    "pixel4-dsp runs no attention (arXiv 2404.10518v2, Tab. 6): the search leaves it out".
    """
    if not left_out:
        return ""
    each = " and ".join(f"no {WORDS.get(one.name, one.name)} ({one.source})" for one in left_out)
    return f"{target.name} runs {each}: the search leaves {'it' if len(left_out) == 1 else 'them'} out"


def left_out(target: Device, ops: Iterable[Op]) -> tuple[Unsupported, ...]:
    """Return what `target` does not run and at least one of `ops` has, each once, for `left_out_text`."""
    every = list(ops)
    return tuple(one for one in target.unsupported if any(one.is_in(op) for op in every))


def parse_unsupported(data: Any, where: str) -> tuple[Unsupported, ...]:
    """Return the entries of the list `unsupported` of a target file; `InvalidInput` names the entry that does not fit.

    Raised too where two entries are about the same op or activation.
    """
    if not (isinstance(data, list) and all(isinstance(entry, dict) for entry in data)):
        raise InvalidInput(f"{where}: unsupported must be a list of tables [[unsupported]], got {data!r:.60}")
    found = [_entry(entry, f"entry {number} of [[unsupported]]", where) for number, entry in enumerate(data, 1)]
    for number, one in enumerate(found, 1):
        if any((one.kind, one.name) == (other.kind, other.name) for other in found[: number - 1]):
            raise InvalidInput(f"{where}: entry {number} of [[unsupported]] names {one.kind} '{one.name}' again")
    return tuple(found)


def _entry(entry: dict[str, Any], what: str, where: str) -> Unsupported:
    """Return one entry; `what` is its name in a message, `where` the file."""
    for key in entry:
        check_key(key, KEYS, f"key in {what}", where)
    named: list[UnsupportedKind] = [kind for kind in get_args(UnsupportedKind) if kind in entry]
    if len(named) != 1:
        given = "both" if named else "neither"
        raise InvalidInput(f"{where}: {what} must name either an op or an act, got {given}")
    kind = named[0]
    name = text(entry[kind], f"{where}: {kind} of {what}")
    check_key(name, FAMILIES if kind == "op" else get_args(Act), "op" if kind == "op" else "activation", where)
    if type(entry.get("falls_back")) is not bool:
        raise InvalidInput(f"{where}: falls_back of {what} must be true or false, got {entry.get('falls_back')!r:.60}")
    return Unsupported(kind, name, entry["falls_back"], text(entry.get("source"), f"{where}: source of {what}"))


def places_text(positions: Sequence[str]) -> str:
    """Return positions as words: "op 3.1", "ops 3.1, 3.3", "op 3.1, head"; of many ops the first, and how many more."""
    ops = [position for position in positions if position != HEAD]
    shown = ops if len(ops) <= MOST_LISTED else ops[:FIRST_LISTED]
    more = f" and {len(ops) - len(shown)} more" if len(ops) > len(shown) else ""
    listed = [f"op{'s' if len(ops) > 1 else ''} {', '.join(shown)}{more}"] if ops else []
    return ", ".join([*listed, *([HEAD] if HEAD in positions else [])])
