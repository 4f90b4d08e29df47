"""Sweeps: one program, thousands of runs, any number of devices and hosts.

base = Configuration(model, fnnet.Adam(1e-3), batch_size=128)
points = grid(base, {"optimizer.learning_rate": (1e-4, 1e-3, 1e-2)})
results = sweep(points, train, epochs=5, seeds=5, shuffle=jax.random.key(1), validation=validation)
print(results)

space     what is swept                     _sweep    from the space to the results, top down
program   what is compiled                  devices   how many devices, and how many runs at a time on each
results   what comes out, and its files     hosts     a sweep in chunks, so that many hosts can work on it
"""

from fnnet.sweeps._sweep import sweep
from fnnet.sweeps.hosts import collect, sweep_shard
from fnnet.sweeps.results import Results, Summary, join, read
from fnnet.sweeps.space import Between, Configuration, Point, Stacked, grid, pick, put, sample, stack

__all__ = [
    "Between",
    "Configuration",
    "Point",
    "Results",
    "Stacked",
    "Summary",
    "collect",
    "grid",
    "join",
    "pick",
    "put",
    "read",
    "sample",
    "stack",
    "sweep",
    "sweep_shard",
]
