"""The log-mel front end of a search over waveforms: what is put in front of a space that has none of its own."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import InvalidInput
from nas.ops.log_mel import LogMelChoices, Transform
from nas.runs.settings import SearchConfig
from nas.space.scaling import REFERENCE_BANDS
from nas.space.staged import StagedSpace

FLAGS = "--window-ms, --hop-ms, --bands and --dft"
WINDOW_MS, HOP_MS = 25.0, 10.0  # of speech, where no setting says


@dataclass(frozen=True)
class FrontEnd:
    """A front end for waveforms at `sample_rate` Hz; of several windows, hops or bands a search takes one.

    `dft` says how it computes the DFT: see `nas.ops.log_mel.LogMel.transform`.
    """

    sample_rate: int
    window_ms: tuple[float, ...] = ()
    hop_ms: tuple[float, ...] = ()
    bands: tuple[int, ...] = ()
    dft: Transform = "matmul"

    def before(self, space: StagedSpace) -> StagedSpace:
        """Return `space` behind the front end; one that has its own keeps it, at the sample rate.

        A space of sequences takes bands as channels, any other a map. Bands are by default those of the space's input,
        of a space for square images 40. Raises `InvalidInput` where the space has a front end and options are asked.
        """
        if space.front is not None:
            if self.window_ms or self.hop_ms or self.bands or self.dft != "matmul":
                raise InvalidInput(f"the space '{space.name}' has a front end of its own; leave {FLAGS} out")
            return space.at_rate(self.sample_rate)
        shape = space.input_shape
        own = shape.channels if shape.size.is_sequence else shape.width
        bands = self.bands or ((REFERENCE_BANDS,) if shape.size.is_square else (own,))
        ears = LogMelChoices(
            self.sample_rate, self.window_ms or (WINDOW_MS,), self.hop_ms or (HOP_MS,), bands,
            "sequence" if shape.size.is_sequence else "map", transform=self.dft,
        )  # fmt: skip
        return space.behind(ears)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, for workers; without the DFT where it is a matrix product, as in runs that lack it."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("dft", "matmul")}


def front_end_of(config: SearchConfig, sample_rate: int | None) -> FrontEnd | None:
    """Return the front end that a search asks for; None for data without a sample rate.

    `InvalidInput` where options of a front end are asked for such data.
    """
    if sample_rate is None:
        if config.window_ms or config.hop_ms or config.bands or config.dft != "matmul":
            raise InvalidInput(f"{FLAGS} are of the spectrograms of waveforms; leave them out")
        return None
    return FrontEnd(sample_rate, config.window_ms, config.hop_ms, config.bands, config.dft)


def with_front_end(space: StagedSpace, front_end: Mapping[str, Any] | None) -> StagedSpace:
    """Return `space` behind the front end of the plain form, None for none."""
    return space if front_end is None else FrontEnd(**front_end).before(space)
