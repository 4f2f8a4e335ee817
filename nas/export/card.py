"""The model card beside an exported file: Markdown with the sections of Mitchell et al., arXiv 1810.03993."""

from collections.abc import Mapping, Sequence

from latency_models.target import list_targets
from nas.arch import ArchSpec
from nas.export.provenance import BUDGET_KEY, exact_costs, predicted_ms
from nas.records.results import display_text

PROVENANCE_KEYS = ("origin", "run", "seed", "data", "data_digest", "target", BUDGET_KEY, "file", "calibration",
        "calibration_data_digest")  # fmt: skip
LABELS = {BUDGET_KEY: "latency budget"}  # of keys whose own name is not shown


def model_card(
    name: str, arch: ArchSpec, provenance: Mapping[str, str], *, signature: str, checks: Sequence[str], loading: str
) -> str:
    """Return the card of the file `name` as Markdown.

    Sections: what it is, how it was obtained, accuracy with the `checks` that were made, costs, intended use and
    limits, and the Python code for `loading` it. `signature` says what goes in and what comes out.
    """
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
            *(f"- {_label(key)}: {_plain(provenance[key])}" for key in PROVENANCE_KEYS if key in provenance),
            "",
            "## Accuracy",
            "",
            *_accuracy(provenance),
            *(f"- {_plain(line)}" for line in checks),
            "",
            "## Costs",
            "",
            *_costs(arch, provenance),
            "",
            "## Intended use and limits",
            "",
            f"For images like those it was trained on, normalised alike: {_normalisation(provenance)}. It gives one of "
            f"{arch.num_classes} classes for every image, also for one that belongs to none of them. Robustness, "
            "fairness and use on other data were not examined. Predicted latencies are of a model, not of a device.",
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
    """Return the tables of exact costs and of predicted latencies, and the measured latency where there is one."""
    targets = {target.name: target for target in list_targets()}
    rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in exact_costs(arch).items()]
    predicted = [f"| {name} | {targets[name].unit} | {targets[name].dtype} | {targets[name].batch} | {latency} |"
                 for name, latency in predicted_ms(arch).items()]  # fmt: skip
    measured = "No latency of it was measured."
    if "measured_ms" in provenance:
        measured = f"Measured: {provenance['measured_ms']} ms ({_plain(provenance['measured_on'])})."
    return [
        "| cost of one image | |", "| --- | ---: |", *rows, "",
        "| target | unit | numbers | images | predicted ms |", "| --- | --- | --- | ---: | ---: |", *predicted, "",
        measured,
    ]  # fmt: skip


def _normalisation(provenance: Mapping[str, str]) -> str:
    """Return the normalisation of the input images: that of the int8 calibration, or in general."""
    if "input_mean" in provenance:
        mean, std = provenance["input_mean"], provenance["input_std"]
        return f"(x / 255 - mean) / std with mean {mean} and std {std}"
    return "(x / 255 - mean) / std, mean and std those of the training images per channel"
