"""The description of a network's input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.data.input_spec import FITS, InputSpec, Signature
from nas.errors import InvalidInput
from nas.records.signatures import save_signature, signature_of

numbers = st.floats(0.125, 1)
inputs = st.sampled_from((1, 3)).flatmap(
    lambda channels: st.builds(
        InputSpec, st.integers(1, 512), st.integers(1, 512), st.just(channels),
        st.tuples(*[numbers] * channels), st.tuples(*[numbers] * channels),
        fit=st.sampled_from(FITS), background=st.integers(0, 255),
    )
)  # fmt: skip


@given(inputs, st.lists(st.text(max_size=8), max_size=4))
def test_json_keeps_all(spec, names):
    signature = Signature(spec, tuple(names))
    assert Signature.from_dict(signature.to_dict() | {"other": 1}) == signature


def test_a_folder_keeps_it(tmp_path):
    signature = Signature(InputSpec(8, 8, 1, (0.5,), (0.25,)), ("no", "yes"))
    assert signature_of(tmp_path) is None
    save_signature(signature, tmp_path)
    assert signature_of(tmp_path) == signature


def test_normalised_is_per_channel_and_repeats_grey():
    spec = InputSpec(1, 1, 3, (0.0, 0.5, 1.0), (1.0, 0.5, 0.25))
    white = np.full((1, 1, 1, 1), 255, np.uint8)
    np.testing.assert_array_equal(spec.normalised(white)[0, 0, 0], [1, 1, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"height": 0}, "at least 1 x 1"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"mean": (0.0, 0.0)}, "for each"),
        ({"std": (0.0,)}, "positive"),
        ({"fit": "stretch"}, "crop, pad, squash"),
        ({"background": 256}, "0 to 255"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    values = {"height": 8, "width": 8, "channels": 1, "mean": (0.0,), "std": (1.0,)} | change
    with pytest.raises(InvalidInput, match=words):
        InputSpec(**values)
