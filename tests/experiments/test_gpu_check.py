"""The smallest form of the accelerator check on this machine: its trainings; its other parts are tested elsewhere."""

import json
import sys
from pathlib import Path

import pytest

from experiments import gpu_check


def test_vmapped_trainings_in_their_smallest_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--smallest", "--part", "trainings", "--out", str(tmp_path)])
    assert gpu_check.main() == 0
    found = json.loads((tmp_path / "trainings.json").read_text())
    assert found["group of 2"]["images_per_s"] > 0 and found["difference after one step"] < 1e-3


def test_a_part_that_fails_is_told_by_its_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--no-such-flag"])
    assert gpu_check.ended_part("search", 60).startswith("failed (exit status 2)")
