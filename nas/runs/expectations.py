"""What is said before a training begins: what to expect of few images, and which stages learn how fast."""

from nas.arch import ArchSpec
from nas.data import Dataset
from nas.runs.single_training import TrainingSubject
from nas.training.config import TrainingConfig

FEW_PER_CLASS = 100  # training images
MEASURED = (  # docs/results.md, few images
    "on 500 images of 6 classes of CIFAR-10 a small network reached 53 % from random weights, and 57 % from weights "
    "trained on other classes"
)


def expectations(dataset: Dataset, subject: TrainingSubject) -> list[str]:
    """Return a line on what few images lead to, and what helps; none where there are more, or outputs are numbers."""
    images, classes = len(dataset.y_train), dataset.num_classes
    if not dataset.has_classes or not dataset.is_images or images >= FEW_PER_CLASS * classes:
        return []
    found = f"few images: {images:,} of {classes} classes for training"
    if subject.weights is not None:
        return [f"{found}; it starts from trained weights, which is what helps most"]
    return [
        f"{found}; {MEASURED}: start from a training (--from) or from a file of weights (--weights) where there is one"
    ]


def tuning_lines(arch: ArchSpec, config: TrainingConfig) -> list[str]:
    """Return lines on frozen stages, and on learning rates by depth."""
    tuning, stages, found = config.ingredients.fine_tuning, len(arch.stages), []
    if tuning.frozen_stages:
        found.append(
            f"frozen: the first {tuning.frozen_stages} of {stages} stages keep their weights and their normalisation "
            "statistics"
        )
    if tuning.rate_decay != 1:
        rates = [config.optimizer.learning_rate * tuning.rate_decay ** (stages - s) for s in range(stages)]
        shown = ", ".join(f"{rate:.2g}" for rate in rates[tuning.frozen_stages :])
        found.append(
            f"peak learning rates: {shown} of the trained stages, {config.optimizer.learning_rate:.2g} of the head"
        )
    if config.ingredients.precision != "auto":
        found.append(f"activations in {config.ingredients.precision}")
    return found
