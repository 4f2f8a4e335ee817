"""The model card beside an exported file: Markdown with the sections of Mitchell et al., arXiv 1810.03993.

The front matter is that of https://huggingface.co/docs/hub/model-cards, which other hubs read too.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from latency_models.latency_error import error_of
from latency_models.target import Target, list_targets
from nas.arch import ArchSpec
from nas.data.input_spec import InputSpec, Signature
from nas.export.interface import OUTPUTS, Interface, numbers_text, range_text
from nas.export.provenance import BUDGET_KEY, exact_costs, predicted_ms, unsupported_lines
from nas.records.results import display_text
from nas.tasks.task import Meaning, outputs_text

PROVENANCE_KEYS = ("origin", "run", "seed", "data", "data_digest", "target", BUDGET_KEY, "file", "calibration",
        "calibration_data_digest")  # fmt: skip
LABELS = {BUDGET_KEY: "latency budget"}  # of keys whose own name is not shown
CARD_METRICS: dict[Meaning, str] = {"classes": "accuracy", "labels": "f1", "numbers": "mae"}
LISTED_CLASSES = 100  # more are in labels.txt alone
FITS = {
    "crop": "the largest centred part of the input's proportions",
    "pad": "all of it, on the background",
    "squash": "all of it, its proportions changed to the input's",
}
UNKNOWN = (
    "Mean, std and class names are not known: these weights state none. The folder of a training has them in "
    "train.json; one of release 0.1 gets them where the `nas train` command that made it is given once more."
)


def model_card(
    name: str,
    arch: ArchSpec,
    provenance: Mapping[str, str],
    *,
    interface: Interface,
    signature: Signature | None = None,
    checks: Sequence[str],
    loading: str,
) -> str:
    """Return the card of the file `name` as Markdown, with a front matter for model hubs.

    Sections: what it is, its input and its classes, how it was obtained, accuracy with the `checks` that were made,
    costs, intended use and limits, and the Python code for `loading` it. `interface` says what goes in and what comes
    out; `signature` is None where mean, std and class names are not known.
    """
    height, width, channels = arch.input_shape
    images = signature is None or signature.input.is_image
    meaning = "classes" if signature is None else signature.outputs.meaning
    task = {"classes": "Classification of", "labels": "Labels of", "numbers": "Regression from"}[meaning]
    what = "Image classification" if meaning == "classes" else f"{task} images"
    what = f"{what}: {height} x {width} pixels"
    if not images:
        what = f"{task} " + (f"sequences: {height} steps" if width == 1 else f"maps: {height} x {width}")
    return "\n".join(
        [
            *_front_matter(provenance, interface, images=images, meaning=meaning),
            f"# {_plain(name)}",
            "",
            f"{what}, {channels} channels, {outputs_text(meaning, arch.num_classes)}; "
            f"{arch.params:,} parameters, {arch.macs:,} multiply-accumulates. Architecture: {_plain(arch.name)}. "
            f"{interface.text}.",
            "",
            "## Input and classes" if meaning == "classes" else "## Input and outputs",
            "",
            *([UNKNOWN] if signature is None else _input(signature.input, interface)),
            *([] if signature is None else _outputs(signature)),
            "",
            "## How it was obtained",
            "",
            f"- spec: {arch.digest}",
            *(f"- {_label(key)}: {_plain(provenance[key])}" for key in PROVENANCE_KEYS if key in provenance),
            "",
            "## Accuracy",
            "",
            *_accuracy(provenance),
            *_scores(provenance),
            *(f"- {_plain(line)}" for line in checks),
            "",
            "## Costs",
            "",
            *_costs(arch, provenance),
            "",
            "## Intended use and limits",
            "",
            f"For {'images' if images else 'inputs'} like those it was trained on, normalised alike: "
            f"{_normalisation(provenance, signature)}. "
            f"{_limits(meaning, arch.num_classes, 'image' if images else 'input')}. "
            "Robustness, fairness and use on other data were not examined. Predicted latencies are of a model, not of "
            "a device.",
            "",
            "## How to load",
            "",
            "```python",
            loading.strip(),
            "```",
            "",
        ]
    )


def _label(key: str) -> str:
    return LABELS.get(key, key.replace("_", " "))


def _plain(text: str) -> str:
    """Return text without the characters that Markdown or a terminal would act on."""
    return "".join(c if c.isprintable() and c not in "`<>|\\" else "_" for c in text)


def _accuracy(provenance: Mapping[str, str]) -> list[str]:
    """Return the known accuracies, each with its kind."""
    known = [
        f"- {provenance[key]} ({_plain(display_text(provenance[f'{key}_kind']))}){note}"
        for key, note in (("accuracy", ""), ("search_accuracy", "; an estimate of the search, not of these weights"))
        if key in provenance
    ]
    return known or ["- none is known of these weights"]


def _costs(arch: ArchSpec, provenance: Mapping[str, str]) -> list[str]:
    """Return the tables of exact costs and predicted latencies, what targets do not run, and the measured latency."""
    targets = {target.name: target for target in list_targets()}
    rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in exact_costs(arch).items()]
    predicted = [
        f"| {name} | {targets[name].unit} | {targets[name].setup} | {targets[name].batch} | {latency} | "
        f"{_error(targets[name], arch)} |"
        for name, latency in predicted_ms(arch).items()
    ]
    unsupported = unsupported_lines(arch)
    measured = "No latency of it was measured."
    if "measured_ms" in provenance:
        measured = f"Measured: {provenance['measured_ms']} ms ({_plain(provenance['measured_on'])})."
    return [
        "| cost of one image | |", "| --- | ---: |", *rows, "",
        "| target | unit | runs with | images | predicted ms | error |",
        "| --- | --- | --- | ---: | ---: | --- |", *predicted, "",
        "Error: 90 % of networks that the latency model has not seen lie within.", "",
        *[f"- not run: {_plain(line)}" for line in unsupported], *[""] * bool(unsupported), measured,
    ]  # fmt: skip


def _error(target: Target, arch: ArchSpec) -> str:
    """Return how far the predicted latency of `arch` on a target can be trusted."""
    known = error_of(target, arch)
    return known.basis if known.percent is None else known.text


def _front_matter(provenance: Mapping[str, str], interface: Interface, *, images: bool, meaning: Meaning) -> list[str]:
    """Return the lines of YAML in front of the card: what model hubs sort and show models by."""
    data = Path(provenance["data"]).name if "data" in provenance else None
    task = ["image-classification"] * (images and meaning != "numbers")
    lines = ["---", "license: unknown", *(f"pipeline_tag: {one}" for one in task)]
    lines += [f"library_name: {interface.library}", "tags:", *(f"- {one}" for one in task)]
    lines += [f"- {interface.library}", "- nas-engine"]
    lines += [] if data is None else ["datasets:", f"- {json.dumps(data)}"]
    lines += ["metrics:", f"- {CARD_METRICS[meaning]}"]
    return [*lines, "---", ""]


def _input(spec: InputSpec, interface: Interface) -> list[str]:
    """Return lines about how an image or an array becomes the input."""
    if spec.is_waveform:
        seconds = f"{spec.height / spec.sample_rate:.3g} s"
        return [
            f"- waveform: {spec.height} samples at {spec.sample_rate} Hz ({seconds}), one channel; of longer ones the "
            "middle, around shorter ones silence",
            f"- tensor: {interface.dtype}, {interface.layout}; {range_text(spec, interface)}",
        ]
    if not spec.is_image:
        shape = f"{spec.height} steps" if spec.size.is_sequence else f"{spec.height} x {spec.width}"
        return [
            f"- numbers: {shape}, {spec.channels} channels",
            f"- mean {numbers_text(spec.mean)}, std {numbers_text(spec.std)}, per channel",
            f"- tensor: {interface.dtype}, {interface.layout}; {range_text(spec, interface)}",
        ]
    return [
        f"- image: {spec.height} x {spec.width} px, {spec.colour_order}, upright as its EXIF data say; of an image of "
        f"other proportions {FITS[spec.fit]} (fit {spec.fit}); {spec.resampling}, antialiased; transparent pixels lie "
        f"on grey level {spec.background}",
        f"- mean {numbers_text(spec.mean)}, std {numbers_text(spec.std)}, per channel, 255 counting as 1",
        f"- tensor: {interface.dtype}, {interface.layout}; {range_text(spec, interface)}",
    ]


def _limits(meaning: Meaning, count: int, what: str) -> str:
    """Return what the network answers, whatever it is given."""
    if meaning == "classes":
        return f"It gives one of {count} classes for every {what}, also for one that belongs to none of them"
    if meaning == "labels":
        return f"It knows {outputs_text(meaning, count)} and says of no other thing in an {what} that it is there"
    return f"It gives {outputs_text(meaning, count)} for every {what}, also far from those it was trained on"


def _scores(provenance: Mapping[str, str]) -> list[str]:
    """Return a line for each metric on the test examples of a task without classes."""
    return [f"- {_plain(line)}" for line in provenance.get("test_scores", "").splitlines()]


def _outputs(signature: Signature) -> list[str]:
    """Return a table of the names by output, what they mean, and where there are too many, where the others are."""
    names, meaning = signature.class_names, signature.outputs.meaning
    if meaning == "classes":
        return _classes(names)
    noun = "label" if meaning == "labels" else "target"
    text = OUTPUTS[meaning]
    if signature.outputs.standardised:
        mean, std = (numbers_text(values) for values in (signature.outputs.mean, signature.outputs.std))
        text = f"numbers in the units of the targets after output x std + mean, with mean {mean} and std {std}"
    return ["", f"Outputs: {text}.", *_classes(names, noun)]


def _classes(names: Sequence[str], noun: str = "class") -> list[str]:
    """Return a table of the class names by output, and where there are too many, where the others are."""
    rows = [f"| {output} | {_plain(name)} |" for output, name in enumerate(names[:LISTED_CLASSES])]
    more = [] if len(names) <= LISTED_CLASSES else ["", f"All {len(names):,}: labels.txt."]
    return ["", f"| output | {noun} |", "| ---: | --- |", *rows, *more]


def _normalisation(provenance: Mapping[str, str], signature: Signature | None) -> str:
    """Return the normalisation of the input images: that of the training, else that of the int8 calibration."""
    if signature is not None:
        mean, std = numbers_text(signature.input.mean), numbers_text(signature.input.std)
        if signature.input.is_waveform:
            return "sample / 32768, of samples of 16 bits"
        if not signature.input.is_image:
            return f"(x - mean) / std with mean {mean} and std {std}"
        return f"(x / 255 - mean) / std with mean {mean} and std {std}"
    if "input_mean" in provenance:
        mean, std = provenance["input_mean"], provenance["input_std"]
        return f"(x / 255 - mean) / std with mean {mean} and std {std}, those of the calibration images"
    return "(x / 255 - mean) / std, with the mean and std of the training, which are not known here"
