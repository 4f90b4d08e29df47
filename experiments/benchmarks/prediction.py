"""From pixels to classes, one image at a time and 10,000 at once, with 784-128-64-10.

python -m experiments.benchmarks.prediction
"""

import dataclasses
from pathlib import Path

import numpy as np

from experiments import command_line
from experiments.benchmarks import results, systems, task
from experiments.benchmarks.timing import alternate, medians

CALLS = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """Time predictions."""

    rounds: int = 9
    """Rounds of every system, in turn."""
    only: tuple[str, ...] = ()
    """Names of systems; none: all but torch.compile."""
    results: Path = results.FOLDER
    """Folder of the measurements."""


def measure(config: Config) -> None:
    """Seconds per call, stored."""
    x, y, test_x, _ = task.mnist(1280)
    job = task.Task(task.initial_weights((784, 128, 64, 10)), x, y, 128, 1e-3)
    names = config.only or tuple(n for n in systems.MODULES if n != systems.COMPILED)
    trainers = {name: systems.mnist(name)(job) for name in names}
    for trainer in trainers.values():
        trainer.train(1)  # scikit-learn predicts nothing before
    for images in (1, len(test_x)):
        pixels, calls = np.ascontiguousarray(test_x[:images]), CALLS if images == 1 else 1

        def variant(trainer, pixels=pixels, calls=calls):
            return lambda: [trainer.predict(pixels) for _ in range(calls)]

        median = medians(alternate({name: variant(t) for name, t in trainers.items()}, config.rounds))
        seconds = {name: s / calls for name, s in median.items()}
        results.add(config.results, "prediction", str(images), {"seconds": seconds, "rounds": config.rounds})
        print(f"{images} images: {', '.join(f'{n} {1e3 * s:.3f} ms' for n, s in seconds.items())}", flush=True)


if __name__ == "__main__":
    command_line.run(measure, Config, __doc__)
