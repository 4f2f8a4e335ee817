"""Files of torch.save read without torch: both forms, and nothing in a file can run, whatever its bytes are."""

import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.nn.torch_file import LEGACY_MAGIC, LEGACY_VERSION, read_torch_file

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([-1.5, 2.25], np.float32),
    "bn.num_batches_tracked": np.array(7, np.int64),
}
KINDS = {np.dtype(np.float32): "FloatStorage", np.dtype(np.int64): "LongStorage", np.dtype(np.float16): "HalfStorage",
         np.dtype(np.uint16): "BFloat16Storage"}  # fmt: skip


class Tensor:
    """What torch pickles of a tensor: a call of _rebuild_tensor_v2 with a reference to its storage."""

    def __init__(self, key: str, values: np.ndarray[Any, Any], stride: tuple[int, ...] | None = None) -> None:
        self.key, self.values = key, values
        self.stride = stride or tuple(step // values.itemsize for step in values.strides)


@pytest.fixture(autouse=True, scope="module")
def fake_torch() -> Iterator[None]:
    """The names that a pickle of torch refers to, so that one can be written without torch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    exec("def _rebuild_tensor_v2(*_): pass", utils.__dict__)
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "torch._utils", utils)
        yield


class Pickler(pickle._Pickler):  # the one in Python can be taught how a tensor is reduced
    """Writes tensors as torch does."""

    def persistent_id(self, obj: Any) -> Any:
        """Return the reference of a storage."""
        return obj[1:] if isinstance(obj, tuple) and obj[:1] == ("persistent",) else None

    def reducer_override(self, obj: Any) -> Any:
        """Return how a tensor is rebuilt."""
        if not isinstance(obj, Tensor):
            return NotImplemented
        kind = getattr(sys.modules["torch"], KINDS[obj.values.dtype])
        storage = ("persistent", "storage", kind, obj.key, "cpu", obj.values.size)
        size = obj.values.shape
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (storage, 0, size, obj.stride, False, OrderedDict())


def pickled(tree: Any) -> bytes:
    """Return what torch writes for an object."""
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(tree)
    return stream.getvalue()


def state(tensors: dict[str, np.ndarray[Any, Any]]) -> OrderedDict[str, Tensor]:
    """Return a state dict as torch has it."""
    return OrderedDict((name, Tensor(str(i), values)) for i, (name, values) in enumerate(tensors.items()))


def zipped(tree: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Return a file of torch 1.6 and later."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("net/data.pkl", pickled(tree))
        archive.writestr("net/byteorder", "little")
        for i, values in enumerate(tensors.values()):
            archive.writestr(f"net/data/{i}", values.tobytes())
    return stream.getvalue()


def legacy(tree: Any, tensors: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Return a file of torch before 1.6."""
    head = [LEGACY_MAGIC, LEGACY_VERSION, {"little_endian": True}, tree, [str(i) for i in range(len(tensors))]]
    numbers = [values.size.to_bytes(8, "little") + values.tobytes() for values in tensors.values()]
    return b"".join([*map(pickled, head), *numbers])


FORMS = {"zip": zipped, "legacy": legacy}


@cache
def whole_file(form: str) -> bytes:
    """Return a file without damage."""
    return FORMS[form](state(TENSORS), TENSORS)


def read(tmp_path: Path, data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """Return the tensors in a file of these bytes."""
    path = tmp_path / "net.pth"
    path.write_bytes(data)
    return read_torch_file(path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [None, "state_dict", "model"])
def test_both_forms_give_the_tensors_of_a_state_dict_and_of_a_checkpoint(
    tmp_path: Path, form: str, place: str | None
) -> None:
    tree = state(TENSORS) if place is None else {"epoch": 3, place: state(TENSORS), "names": ["a", ("b", 1.5, None)]}
    found = read(tmp_path, FORMS[form](tree, TENSORS))
    assert found.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


def test_a_transposed_tensor_and_floats_of_other_widths_are_read(tmp_path: Path) -> None:
    values = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "b": np.array([0x3F80, 0xC020], np.uint16)}
    tree = state(values)
    tree["a"] = Tensor("0", values["a"].reshape(3, 2), (1, 3))  # a view of its storage, transposed
    found = read(tmp_path, zipped(tree, values))
    np.testing.assert_array_equal(found["a"], values["a"].T)
    np.testing.assert_array_equal(found["b"], np.array([1.0, -2.5], np.float32))


class Evil:
    """An object whose pickle runs a command when it is loaded."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/this-must-not-exist",)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Evil(), r"it refers to (posix|nt)\.system, and only tensors are read; save the state dict alone"),
        (Path("/etc"), "it refers to pathlib"),
        ({1, 2}, "it refers to"),
        (Evil, "it refers to"),
    ],
)
def test_nothing_but_tensors_is_read(tmp_path: Path, form: str, thing: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, FORMS[form]({"state_dict": state(TENSORS), "optimizer": thing}, TENSORS))


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": 1}, "it holds no named tensors"),
        ([1, 2], "it holds no named tensors"),
        (OrderedDict(a=Tensor("0", np.zeros(24, np.float32).reshape(4, 6), (6, 2))), "reaches beyond its storage"),
        (OrderedDict(a=Tensor("0", np.zeros((4, 6), np.float32), (0, 1))), ""),  # in its storage
        (OrderedDict(a=Tensor("../../secret", np.zeros(24, np.float32))), "There is no item named"),
        (OrderedDict(a=Tensor("0", np.zeros(10**6, np.float32))), "longer than the file"),
    ],
)
def test_views_stay_in_their_storage(tmp_path: Path, tree: Any, message: str) -> None:
    if message:
        with pytest.raises(InvalidInput, match=message):
            read(tmp_path, zipped(tree, TENSORS))
    else:
        assert read(tmp_path, zipped(tree, TENSORS))["a"].shape == (4, 6)


@settings(max_examples=150)
@given(st.sampled_from(sorted(FORMS)), st.data())
def test_damaged_files_end_with_one_line(tmp_path_factory: pytest.TempPathFactory, form: str, data: Any) -> None:
    whole = bytearray(whole_file(form))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.getbasetemp() / f"damaged-{form}.pth"
    path.write_bytes(bytes(whole[:cut] if data.draw(st.booleans()) else whole))
    with suppress(InvalidInput):  # anything else that is raised fails
        assert all(isinstance(values, np.ndarray) for values in read_torch_file(path).values())
