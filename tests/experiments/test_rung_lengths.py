"""How long a training must be: the taus of a table of `nas rank`."""

from pathlib import Path

import numpy as np
import pytest

from experiments.rung_lengths import TABLE, curves_in, taus


def test_a_seed_is_judged_by_where_the_others_end(tmp_path: Path) -> None:
    path = tmp_path / "rank.csv"
    path.write_text("digest,val_0_1,val_0_2,val_1_1,val_1_2\na,.3,.1,.1,.1\nb,.2,.2,.2,.2\nc,.1,.3,.3,.3\n")
    curves = curves_in(path)
    assert curves.shape == (3, 2, 2) and curves[0].tolist() == [[0.3, 0.1], [0.1, 0.1]]
    assert taus(curves) == pytest.approx([0, 1])  # one seed begins backwards, one as it ends


def test_the_committed_table_is_whole() -> None:
    curves = curves_in(TABLE)
    assert curves.shape == (12, 2, 12) and np.isfinite(curves).all()
