"""What a training step costs with distorted images, and what products in bfloat16 save.

    python -m experiments.benchmarks.steps

Networks of dense layers on random bytes of 28 x 28, trained by Adam, an epoch of 20 steps a call; the variants of one
network in turn, in one process.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import fnnet
from experiments import command_line
from experiments.benchmarks import results
from experiments.benchmarks.timing import alternate, medians, ratio
from fnnet import Affine, Cutout, Elastic, Mirror, Noise

STEPS = 20
PLAIN, ROUNDED = "plain", "products in bfloat16"
AFFINE = Affine(rotation=10, scale=0.12, shear=0.1, shift=1)
DISTORTIONS: dict[str, tuple[fnnet.Layer, ...]] = {
    "Affine": (AFFINE,),
    "Elastic": (Elastic(36, 5),),
    "Elastic with an Affine": (Elastic(36, 5, affine=AFFINE),),
    "Affine, then Elastic": (AFFINE, Elastic(36, 5)),
    "Mirror": (Mirror(),),
    "Cutout": (Cutout(8),),
    "Noise": (Noise(0.1),),
    "Dropout": (fnnet.Dropout(0.2),),
}
SIZES = (((800, 10), 128), ((800, 10), 512), ((1500, 1000, 500, 10), 128), ((128, 64, 10), 64))


@dataclasses.dataclass(frozen=True)
class Config:
    """Time steps of dense networks."""

    rounds: int = 15
    """Measurements of each variant, in turn."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def network(sizes: tuple[int, ...], distortions: tuple[fnnet.Layer, ...] = (), products: str | None = None) -> Any:
    return fnnet.mlp(
        (784, *sizes),
        input_shape=(28, 28),
        preprocessing=(fnnet.Rescale(1 / 255), *distortions),
        products=products,
    )


def epoch(model: fnnet.Model, batch_size: int) -> Callable[[], Any]:
    """A call that trains for STEPS steps."""
    rng = np.random.default_rng(0)
    rows = STEPS * batch_size
    data = fnnet.Batch(
        *map(jax.numpy.asarray, (rng.integers(0, 256, (rows, 28, 28)).astype(np.uint8), np.arange(rows) % 10))
    )
    key, optimizer = jax.random.key(0), fnnet.Adam(1e-3)
    state = fnnet.init_state(model, optimizer, key)
    return lambda: fnnet.train_epoch(model, optimizer, state, data, batch_size=batch_size, shuffle=key)


def measure(config: Config) -> None:
    """Milliseconds per step, and ratios to the plain step, stored by network."""
    for sizes, batch_size in SIZES:
        models = {PLAIN: network(sizes), ROUNDED: network(sizes, products="bfloat16")}
        if (sizes, batch_size) == SIZES[0]:
            models |= {name: network(sizes, layers) for name, layers in DISTORTIONS.items()}
        times = alternate({name: epoch(model, batch_size) for name, model in models.items()}, config.rounds, rest=0.05)
        measured = {
            "milliseconds": {name: 1e3 * s / STEPS for name, s in medians(times).items()},
            "ratios": {name: ratio(times, name, PLAIN) for name in models},
            "rounds": config.rounds,
        }
        title = f"{'-'.join(map(str, (784, *sizes)))} at batch {batch_size}"
        results.add(config.results, "steps", title, measured)
        shown = ", ".join(f"{n} {ms:.2f} ({measured['ratios'][n]:.2f})" for n, ms in measured["milliseconds"].items())
        print(f"{title}: ms per step (ratio): {shown}", flush=True)


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
