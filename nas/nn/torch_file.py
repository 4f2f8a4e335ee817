"""Read the tensors in a file that `torch.save` wrote (.pth, .pt), without torch, and without unpickling anything.

Both forms: the zip archive of torch 1.6 and later, and the legacy file before it. Their structure is a pickle. Here it
is walked opcode by opcode: an opcode or a name that is on neither of the two lists below ends the reading with one
line, so that a file can hold tensors, numbers, strings, lists and dictionaries, and can run nothing. Source of the
format: torch/serialization.py and torch/_utils.py of PyTorch 2.
"""

import io
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.files import read_bytes

Array = NDArray[Any]
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first object of a legacy file
LEGACY_VERSION = 1001
LEGACY_OBJECTS = 3  # magic number, version and system, in front of the tensors
ZIP_MAGIC = b"PK\x03\x04"
MOST_DIMENSIONS = 8
TYPES = {  # of storages; bfloat16 is the upper half of a float32
    "Double": "<f8", "Float": "<f4", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8", "Int": "<i4", "Short": "<i2",
    "Char": "<i1", "Byte": "<u1", "Bool": "<u1",
}  # fmt: skip
STORAGES = {f"torch {name}Storage": name for name in TYPES}
ORDERED_DICT, TENSOR, TENSOR_1, PARAMETER = (
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_parameter",
)  # fmt: skip
NAMES = {ORDERED_DICT, TENSOR, TENSOR_1, PARAMETER, *STORAGES}
PLAIN = {  # opcodes that push their argument
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "INT", "LONG", "FLOAT", "UNICODE",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
DAMAGED = (zipfile.BadZipFile, EOFError, LookupError, ValueError, OverflowError, NotImplementedError, MemoryError)
NESTED = ("state_dict", "model", "model_state_dict", "state_dict_ema")  # where checkpoints keep the weights


@dataclass(frozen=True)
class _Name:
    """A name that the file refers to: of a function that is known here, or of a type of storage."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """A flat array of the file: its type, its key, and how many numbers it holds."""

    kind: str
    key: str
    count: int

    @property
    def length(self) -> int:
        """Its length in bytes."""
        return self.count * np.dtype(TYPES[self.kind]).itemsize


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: offset, size and stride, in numbers."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Refused(Exception):
    """The file holds something that is not read; the text says what."""


def is_torch_file(data: bytes) -> bool:
    """Return whether the bytes begin like those of a file of torch, of either form."""
    return data.startswith((ZIP_MAGIC, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"))


def read_torch_file(path: Path) -> dict[str, Array]:
    """Return the named tensors in a file of `torch.save`: of a state dict, or of a checkpoint that holds one.

    Floats of all widths come as float32, whole numbers as they are. Raises `InvalidInput` with one line where the file
    is damaged, or holds anything but tensors and plain values.
    """
    data = read_bytes(path)
    try:
        tree, fetch = _zip(data) if data.startswith(ZIP_MAGIC) else _legacy(data)
        found = _tensors(tree)
        storages = {tensor.storage for tensor in found.values()}
        if sum(storage.length for storage in storages) > len(data):
            raise ValueError("its tensors are longer than the file")
        numbers = {storage: _numbers(storage, fetch) for storage in storages}
        return {name: _view(name, tensor, numbers[tensor.storage]) for name, tensor in found.items()}
    except _Refused as error:
        raise InvalidInput(f"{path} cannot be read as weights of torch: {error}") from error
    except DAMAGED as error:
        raise InvalidInput(f"{path} is no file of torch, or a damaged one ({error}); write it again") from error


def _zip(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    """Return what a zip archive holds, and what returns the bytes of a storage."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    found = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(found) != 1:
        raise _Refused("the archive holds no data.pkl; save the state dict with torch.save(model.state_dict(), FILE)")
    root = found[0].removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist() and _entry(archive, f"{root}byteorder") != b"little":
        raise _Refused("its numbers are big-endian; save it on another machine")
    (tree,) = _objects(_entry(archive, found[0]), 1)
    return tree[0], lambda storage: _entry(archive, f"{root}data/{storage.key}")


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of an entry, which torch stores without compression."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise _Refused(f"its entry '{name}' is compressed, which torch never does")
    return archive.read(name)


def _legacy(data: bytes) -> tuple[Any, Callable[[_Storage], bytes]]:
    """Return what a legacy file holds, and what returns the bytes of a storage."""
    objects = list(_objects(data, LEGACY_OBJECTS + 2))
    (magic, _), (version, _), _, (tree, _), (keys, end) = objects
    if magic != LEGACY_MAGIC or version != LEGACY_VERSION:
        raise _Refused("it does not begin like a file of torch.save")
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise _Refused("it has no list of storages")
    sizes = {storage.key: storage for storage in _storages(tree)}
    parts: dict[str, bytes] = {}
    for key in keys:
        if key not in sizes:
            raise _Refused(f"its storage '{key}' belongs to no tensor")
        count = int.from_bytes(data[end : end + 8], "little")
        length = replace(sizes[key], count=count).length
        parts[key] = data[end + 8 : end + 8 + length]
        end += 8 + length
    return tree, lambda storage: parts[storage.key]


def _objects(data: bytes, count: int) -> Iterator[tuple[Any, int]]:
    """Yield the first `count` pickled objects in `data`, each with the position behind it."""
    stream = io.BytesIO(data)
    for _ in range(count):
        yield _walk(stream), stream.tell()


def _walk(stream: io.BytesIO) -> Any:
    """Return the object that the pickle at the stream's position describes."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def marked() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    argument: Any
    for code, argument, _ in pickletools.genops(stream):
        name = code.name
        if name in PLAIN:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in TUPLES:
            stack[-TUPLES[name] :] = [tuple(_last(stack, TUPLES[name]))]
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(marked()))
        elif name in ("SETITEM", "SETITEMS"):
            items = marked() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _kind(stack[-1], dict).update(_pairs(items))
        elif name in ("APPEND", "APPENDS"):
            _kind(stack[-2 if name == "APPEND" else marks[-1] - 1], list).extend(
                [stack.pop()] if name == "APPEND" else marked()
            )
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_name(argument))
        elif name == "STACK_GLOBAL":
            stack[-2:] = [_name(" ".join(map(str, _last(stack, 2))))]
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            stack[-2:] = [_reduced(*_last(stack, 2))]
        elif name == "BUILD":
            stack.pop()  # the version that a state dict states of its layers
            _kind(stack[-1], dict)
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"it holds more than tensors and plain values (opcode {name}); save the state dict alone")
    raise ValueError("it ends too early")


def _last(stack: list[Any], count: int) -> list[Any]:
    """Return the uppermost `count` objects."""
    if len(stack) < count:
        raise ValueError("the stack is empty")
    return stack[-count:]


def _kind(value: Any, kind: type[Any]) -> Any:
    """Return `value`, which must be of that kind."""
    if type(value) is not kind:
        raise _Refused(f"it changes an object that is no {kind.__name__}; save the state dict alone")
    return value


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    """Return keys and values, the keys plain ones."""
    pairs = list(zip(items[::2], items[1::2], strict=True))
    if not all(isinstance(key, str | int | float | bool | None) for key, _ in pairs):
        raise _Refused("a key of a dictionary is no plain value; save the state dict alone")
    return pairs


def _name(text: str) -> _Name:
    """Return a name that the file may refer to."""
    if text not in NAMES:
        raise _Refused(
            f"it refers to {text.replace(' ', '.', 1):.80}, and only tensors are read; save the state dict alone: "
            "torch.save(model.state_dict(), FILE)"
        )
    return _Name(text)


def _storage(reference: Any) -> _Storage:
    """Return the storage that a persistent reference names: ("storage", type, key, device, numbers)."""
    match reference:
        case ("storage", _Name(text), str(key), str(), int(count), *_) if text in STORAGES and count >= 0:
            return _Storage(STORAGES[text], key, count)
    raise _Refused("it refers to something that is no storage of numbers")


def _reduced(function: Any, arguments: Any) -> Any:
    """Return what a known function makes of its arguments."""
    match function, arguments:
        case _Name(text), () if text == ORDERED_DICT:
            return {}
        case _Name(text), ([*pairs],) if text == ORDERED_DICT:
            return dict(_pairs([one for pair in pairs for one in pair]))
        case _Name(text), (_Storage() as storage, int(offset), tuple(size), tuple(stride), *_) if text in (
            TENSOR, TENSOR_1
        ):  # fmt: skip
            return _Tensor(storage, offset, _whole(size), _whole(stride))
        case _Name(text), (_Tensor() as tensor, *_) if text == PARAMETER:
            return tensor
    raise _Refused("it calls something with arguments that make no tensor")


def _whole(numbers: tuple[Any, ...]) -> tuple[int, ...]:
    """Return a size or a stride."""
    if len(numbers) > MOST_DIMENSIONS or not all(type(one) is int and one >= 0 for one in numbers):
        raise _Refused("the size of a tensor is none")
    return numbers


def _tensors(tree: Any) -> dict[str, _Tensor]:
    """Return the tensors of a state dict by name; of a checkpoint, those of the first state dict that it holds."""
    if isinstance(tree, dict):
        found = {str(name): value for name, value in tree.items() if isinstance(value, _Tensor)}
        if found:
            return found
        for name in NESTED:
            if isinstance(tree.get(name), dict):
                return _tensors(tree[name])
    raise _Refused("it holds no named tensors; save the state dict: torch.save(model.state_dict(), FILE)")


def _storages(tree: Any) -> Iterator[_Storage]:
    """Yield the storages of all tensors, whatever dictionaries, lists and tuples they are in; each object once."""
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, _Tensor):
            yield one.storage
        elif isinstance(one, _Storage):
            yield one
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one


def _numbers(storage: _Storage, fetch: Callable[[_Storage], bytes]) -> Array:
    """Return the numbers of a storage as a flat array."""
    stored = np.frombuffer(fetch(storage), TYPES[storage.kind])
    if len(stored) != storage.count:
        raise ValueError(f"a storage has {len(stored)} numbers, {storage.count} are stated")
    if storage.kind == "BFloat16":
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32) if stored.dtype.kind == "f" else stored


def _view(name: str, tensor: _Tensor, numbers: Array) -> Array:
    """Return a tensor as a contiguous array of its own, no larger than its storage."""
    size, stride = tensor.size, tensor.stride
    count = int(np.prod(size, dtype=object)) if size else 1
    last = tensor.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else 0
    if not 0 <= tensor.offset <= last or last >= max(len(numbers), 1) or count > len(numbers):
        raise ValueError(f"the tensor '{name}' reaches beyond its storage")
    if not count:
        return np.zeros(size, numbers.dtype)
    step = numbers.itemsize
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], size, [step * n for n in stride], writeable=False)
    return np.ascontiguousarray(view).reshape(size)
