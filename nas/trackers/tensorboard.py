"""TensorBoard: event files in the folder `tensorboard` of the run, written by the package that shows them.

So the extra needs no second package, and no protocol buffers of our own. See them with: tensorboard --logdir runs
"""

import time
from collections.abc import Mapping
from typing import Any

from nas.trackers import TrackedRun, need

need("tensorboard")

from tensorboard.compat.proto.event_pb2 import Event  # noqa: E402
from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: E402
from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: E402

FOLDER = "tensorboard"  # in the folder of the run
FLUSH_S = 5


class TensorBoard:
    """Writes scalars into event files."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer: Any = EventFileWriter(str(run.folder / FOLDER), flush_secs=FLUSH_S)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write the numbers of one step."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
