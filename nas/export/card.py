"""The model card beside an exported file: Markdown, what Mitchell et al. ask for, arXiv 1810.03993, as far as known."""

from collections.abc import Mapping, Sequence

from latency_models.target import list_targets
from nas.arch import ArchSpec
from nas.export.provenance import counted, predicted_ms

REPORTED = ("origin", "run", "seed", "data", "data_digest", "target", "wanted_latency", "file", "calibration",
        "calibration_data_digest")  # fmt: skip


def card(
    name: str, arch: ArchSpec, said: Mapping[str, str], *, signature: str, checked: Sequence[str], loading: str
) -> str:
    """Return the card of the file `name`: what it is, how obtained, accuracy, costs, use and limits, how to load it."""
    height, width, channels = arch.input_shape
    return "\n".join(
        [
            f"# {_plain(name)}",
            "",
            f"Image classification: {height} x {width} pixels, {channels} channels, {arch.num_classes} classes; "
            f"{arch.params:,} parameters, {arch.macs:,} multiply-accumulates. Architecture: {_plain(arch.name)}. "
            f"{signature}.",
            "",
            "## How it was obtained",
            "",
            f"- spec: {arch.digest}",
            *(f"- {key.replace('_', ' ')}: {_plain(said[key])}" for key in REPORTED if key in said),
            "",
            "## Accuracy",
            "",
            *_accuracy(said),
            *(f"- {_plain(line)}" for line in checked),
            "",
            "## Costs",
            "",
            *_costs(arch, said),
            "",
            "## Intended use and limits",
            "",
            f"For images like those it was trained on, normalised alike: {_normalisation(said)}. It gives one of "
            f"{arch.num_classes} classes for every image, also for one of none of them. Robustness, fairness and use "
            "on other data were not examined. Predicted latencies are of a model, not of a device.",
            "",
            "## How to load",
            "",
            "```python",
            loading.strip(),
            "```",
            "",
        ]
    )


def _plain(text: str) -> str:
    """Return text without what Markdown or a terminal would act on."""
    return "".join(c if c.isprintable() and c not in "`<>|\\" else "_" for c in text)


def _accuracy(said: Mapping[str, str]) -> list[str]:
    """Return what is known of the accuracy, with its kind."""
    known = [
        f"- {said[key]} ({_plain(said[f'{key}_kind'])}){note}"
        for key, note in (("accuracy", ""), ("search_accuracy", "; an estimate of the search, not of these weights"))
        if key in said
    ]
    return known or ["- none is known of these weights"]


def _costs(arch: ArchSpec, said: Mapping[str, str]) -> list[str]:
    """Return the tables of costs."""
    targets = {target.name: target for target in list_targets()}
    rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in counted(arch).items()]
    predicted = [f"| {name} | {targets[name].unit} | {targets[name].dtype} | {targets[name].batch} | {latency} |"
                 for name, latency in predicted_ms(arch).items()]  # fmt: skip
    taken = [f"Measured: {said['measured_ms']} ms ({_plain(said['measured_on'])})."] if "measured_ms" in said else []
    return [
        "| cost of one image | |", "| --- | ---: |", *rows, "",
        "| target | unit | numbers | images | predicted ms |", "| --- | --- | --- | ---: | ---: |", *predicted, "",
        *(taken or ["No latency of it was measured."]),
    ]  # fmt: skip


def _normalisation(said: Mapping[str, str]) -> str:
    if "input_mean" in said:
        return f"(x / 255 - mean) / std with mean {said['input_mean']} and std {said['input_std']}"
    return "(x / 255 - mean) / std, mean and std those of the training images per channel"
