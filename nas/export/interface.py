"""What an exported model takes and gives, told to programs: metadata, labels.txt, preprocessor_config.json."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.arch import ArchSpec
from nas.data.input_spec import CLASSES, InputSpec, Signature
from nas.errors import InvalidInput
from nas.files import dump_json
from nas.tasks.task import outputs_text

PREDICT = "predict.py"  # the program that names the classes of images
PILLOW_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR, the number that preprocessor_config.json has for it
RANGES = {
    "float32": "pixels 0 to 255, divided by 255, less the mean, divided by the std",
    "int8": "as float32, then quantised by the scale and the zero point of the input tensor",
    "uint8": "pixels 0 to 255; the graph normalises them",
}
OUTPUTS = {  # what the outputs of a model mean
    "classes": "logits, one class per example: the largest",
    "labels": "logits, several labels per example: those above 0, a probability of one half by the sigmoid",
    "numbers": "numbers in the units of the targets",
}
OF_NUMBERS = "numbers, less the mean, divided by the std"  # the range of float32 inputs that are no images
OF_WAVEFORMS = "samples of 16 bits, divided by 32768"


def range_text(spec: InputSpec, interface: "Interface") -> str:
    """Return what the values of an input are."""
    if spec.is_image or interface.dtype != "float32":
        return RANGES[interface.dtype]
    return OF_WAVEFORMS if spec.is_waveform else OF_NUMBERS


@dataclass(frozen=True)
class Interface:
    """The input and the output of a model in one format; `text` is for the model card."""

    text: str
    library: str  # that loads it, as model hubs name it
    layout: Literal["NHWC", "NCHW"] = "NHWC"
    dtype: Literal["float32", "int8", "uint8"] = "float32"  # of the images

    def of_pixels(self) -> "Interface":
        """Return the interface of the same model with uint8 images as its input."""
        batch = 1 if self.dtype == "int8" else "N"
        text = f"images uint8 [{batch}, H, W, C], 0 to 255 -> {self.text.partition(' -> ')[2]}"
        return replace(self, text=text, layout="NHWC", dtype="uint8")

    @property
    def images(self) -> str:
        """The type and the shape of the images, as a comment in code."""
        shape = "N, C, H, W" if self.layout == "NCHW" else "N, H, W, C"
        return f"{self.dtype} [{shape}]" + ("" if self.dtype == "uint8" else ", normalised")


def check_signature(signature: Signature | None, arch: ArchSpec) -> None:
    """Raise `InvalidInput` where `signature` is one of another input or of another number of classes than `arch`."""
    if signature is None:
        return
    stated = (signature.input.height, signature.input.width, signature.input.channels)
    if stated != arch.input_shape or len(signature.class_names) != arch.num_classes:
        outputs = outputs_text(signature.outputs.meaning, len(signature.class_names))
        raise InvalidInput(
            f"the weights were trained with images of {_size(stated)} and {outputs}, the "
            f"network takes {_size(arch.input_shape)} and has {arch.num_classes}"
        )


def _size(shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, shape))


def numbers_text(values: tuple[float, ...]) -> str:
    """Return one number per channel as text, six digits each."""
    return " ".join(f"{value:.6g}" for value in values)


def input_metadata(signature: Signature | None, interface: Interface) -> dict[str, str]:
    """Return the metadata about input and outputs: "input.*", "class_names" and all in "signature.json".

    For a task other than classification also "task", and what its "outputs" mean.
    """
    if signature is None:
        return {}
    spec = signature.input
    fields = {key: str(value) for key, value in spec.to_dict().items()}
    fields |= {"mean": numbers_text(spec.mean), "std": numbers_text(spec.std)}
    fields |= {"layout": interface.layout, "dtype": interface.dtype, "range": range_text(spec, interface)}
    found = {f"input.{key}": value for key, value in fields.items()}
    found["class_names"] = json.dumps(list(signature.class_names))
    if signature.outputs != CLASSES:
        said = "numbers less their mean, divided by their std" if signature.outputs.standardised else None
        found |= {"task": signature.outputs.kind, "outputs": said or OUTPUTS[signature.outputs.meaning]}
    return found | {"signature.json": json.dumps(signature.to_dict(), sort_keys=True)}


def example_of(signature: Signature | None) -> str:
    """Return what stands for a file of an input in a command that is printed: IMAGE, ARRAY.npy or SOUND.wav."""
    if signature is not None and signature.input.is_waveform:
        return "SOUND.wav"
    return "IMAGE" if signature is None or signature.input.is_image else "ARRAY.npy"


def labels_text(class_names: tuple[str, ...]) -> str:
    """Return the content of labels.txt: a class per line, in the order of the outputs."""
    return "".join(f"{' '.join(name.splitlines())}\n" for name in class_names)


def preprocessor_config(spec: InputSpec, interface: Interface) -> dict[str, Any]:
    """Return preprocessor_config.json in the form of Hugging Face's image processors.

    https://huggingface.co/docs/transformers/main_classes/image_processor. They know no size that shows the whole image
    on a background (`pad`): the file then has `do_pad`, and no `image_processor_type`.
    """
    size = {"height": spec.height, "width": spec.width}
    in_graph = interface.dtype == "uint8"
    common = {
        "do_resize": True, "resample": PILLOW_BILINEAR, "do_rescale": not in_graph, "rescale_factor": 1 / 255,
        "do_normalize": not in_graph, "image_mean": list(spec.mean), "image_std": list(spec.std),
        "do_convert_rgb": spec.channels == 3, "do_grayscale": spec.channels == 1,
    }  # fmt: skip
    by_fit: dict[str, dict[str, Any]] = {
        "crop": {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": min(spec.height, spec.width)}, "do_center_crop": True, "crop_size": size,
        },
        "squash": {"image_processor_type": "ViTImageProcessor", "size": size},
        "pad": {
            "size": {"longest_edge": max(spec.height, spec.width)}, "do_pad": True, "pad_size": size,
            "pad_value": spec.background,
        },
    }  # fmt: skip
    return by_fit[spec.fit] | common


def companions(
    signature: Signature | None, interface: Interface, script: Callable[[], str] | None = None
) -> dict[str, str]:
    """Return the files that stand beside a model, name -> content; none where the signature is not known.

    `script` writes predict.py (nas.export.predict.script), where the format has one.
    """
    if signature is None:
        return {}
    found = {} if script is None else {PREDICT: script()}
    found["labels.txt"] = labels_text(signature.class_names)
    if signature.input.is_image:
        found["preprocessor_config.json"] = dump_json(preprocessor_config(signature.input, interface))
    return found


def files_beside(out: Path, files: Mapping[str, str]) -> dict[Path, str]:
    """Return the `files` to write beside the file `out`, by path: NAME, or OUT.NAME where NAME belongs to another one.

    A NAME that exists with the same content is left out: several formats of one network share it.
    """
    found = {}
    for name, content in files.items():
        path = out.with_name(name)
        if path.is_file() and path.read_bytes() == content.encode():
            continue
        found[path if not path.exists() else out.with_name(f"{out.name}.{name}")] = content
    return found


def predict_of(file: Path) -> Path | None:
    """Return the predict.py of an exported file or folder, None where it has none."""
    own = (file / PREDICT, file.with_name(f"{file.name}.{PREDICT}"))
    shared = file.with_name(PREDICT)  # of this file, or of another one in the same folder
    if shared.is_file() and repr(file.name) in shared.read_text():
        return shared
    return next((path for path in own if path.is_file()), None)
