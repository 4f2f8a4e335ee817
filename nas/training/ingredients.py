"""What a training may have beyond optimizer, schedule and average: the parts of a recipe that a step depends on."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from nas.data import Dataset
from nas.data.random_augment import ImageAugmentation
from nas.errors import InvalidInput
from nas.training.fine_tuning import FineTuning
from nas.training.mixing import Mixing
from nas.training.regularised import Regularisation

Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Ingredients:
    """Parts of a training, none of them by default; hashable, a static argument of the compiled step."""

    augmentation: ImageAugmentation = field(default_factory=ImageAugmentation)
    mixing: Mixing = field(default_factory=Mixing)
    regularisation: Regularisation = field(default_factory=Regularisation)
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    final_rate: float = 0.0  # of the peak, at the end of the cosine
    precision: Precision = "auto"  # of activations: bfloat16 on a GPU or TPU, float32 on a CPU

    def __post_init__(self) -> None:
        if not 0 <= self.final_rate <= 1:
            raise InvalidInput(f"final_rate must lie between 0 and 1, got {self.final_rate}")
        if self.precision not in PRECISIONS:
            raise InvalidInput(f"precision must be one of {', '.join(PRECISIONS)}, got '{self.precision}'")

    @property
    def changes_images(self) -> bool:
        """Whether images are augmented or mixed beyond what their data set says."""
        return not (self.augmentation.is_none and self.mixing.is_none)

    @property
    def changes_network(self) -> bool:
        """Whether the network is run in another way than all of it under the statistics of the batch."""
        return not self.regularisation.is_none or self.fine_tuning.frozen_stages > 0

    def check(self, data: Dataset) -> None:
        """Raise `InvalidInput` where the examples are not what the augmentation is for."""
        if not self.changes_images:
            return
        if not data.is_images:
            raise InvalidInput(
                f"{data.name} holds {data.kind}: crops, RandAugment, erasing, mixup and cutmix are for images; choose "
                "a recipe without them, ours say"
            )
        if data.replays is not None:
            raise InvalidInput(
                f"{data.name} is reinforced: its stored augmentation is replayed, so a recipe cannot augment or mix "
                "too; choose one that does not, ours say"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the parts that are not as by default, {} where all are."""
        plain = Ingredients()
        names = [one.name for one in fields(self) if getattr(self, one.name) != getattr(plain, one.name)]
        return {name: asdict(self)[name] for name in names}


NONE = Ingredients()
