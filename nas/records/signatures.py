"""Where the signature of a network stands: in train.json of a training, in signature.json of a run."""

from pathlib import Path

from nas.data.input_spec import Signature
from nas.files import dump_json, read_json, write_whole
from nas.records.typed import refused

FILE = "signature.json"


def save_signature(signature: Signature, run: Path) -> None:
    """Write the signature of the network of a run into its folder."""
    write_whole(run / FILE, dump_json(signature.to_dict()))


def signature_of(folder: Path) -> Signature | None:
    """Return the signature that a training or a run states; None for folders of release 0.1, which state none."""
    for name in ("train.json", FILE):
        path = folder / name
        if path.is_file():
            data = read_json(path)
            if isinstance(data, dict) and "input" in data:
                with refused(path, "the input of a network"):
                    return Signature.from_dict(data)
    return None
