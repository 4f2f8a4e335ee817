"""The energy of a network on screens: an inference, a day of one inference a second, and shares of batteries."""

from contextlib import suppress

from latency_models.energy import BATTERIES_J, INFERENCES_A_DAY, MJ_PER_J, Energy, battery_shares, joules_a_day
from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.errors import InvalidInput


def energy_of_target(target: str) -> Energy | None:
    """Return the energy model of the target of that name, None where there is none or it has no coefficients."""
    with suppress(InvalidInput, LookupError, OSError):
        found = load_target(target)
        return found.energy_model() if found.energy else None
    return None


def energy_rows(arch: ArchSpec, energy: Energy) -> list[tuple[str, str]]:
    """Return name and value of lines on the energy of a network: an inference with its error, and a day."""
    batch = energy.latency.batch
    millijoules = energy.predict_mj(arch) / batch
    shares = ", ".join(
        f"{device} ({BATTERIES_J[device] / MJ_PER_J:g} kJ) {_percent(share)}"
        for device, share in battery_shares(millijoules).items()
    )
    return [
        ("predicted energy", f"{millijoules:.4g} mJ an inference {energy.error.text}"),
        ("energy a day", f"{joules_a_day(millijoules):.3g} J at one inference a second ({INFERENCES_A_DAY:,})"),
        ("of the battery of", f"{shares}; the network alone, nothing else counted"),
    ]


def _percent(share: float) -> str:
    """Return a share as text with two digits: "0.12 %", "140 %"."""
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"
