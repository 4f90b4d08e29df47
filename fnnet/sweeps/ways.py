"""How many runs a device computes side by side: a small table, or a measurement."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Way(NamedTuple):
    """width: runs side by side on a device (1: one after another); why: the choice in words, for people."""

    width: int
    why: str


def choose(weights: int, batch: int, share: int, device: Any) -> Way:
    """TODO."""
    return Way(share, f"{share} side by side")


def fastest(share: int, seconds: Callable[[int], float]) -> Way:
    """The width with the fewest measured seconds, of 1, 4, 16, 64, ... and all `share` runs of a device."""
    widths = sorted({min(4**k, share) for k in range(12)})
    times = {width: seconds(width) for width in widths}
    best = min(times, key=times.__getitem__)
    measured = ", ".join(f"{width}: {1e3 * t:.1f} ms" for width, t in times.items())
    return Way(best, f"{best} side by side, measured on a few batches ({measured})")
