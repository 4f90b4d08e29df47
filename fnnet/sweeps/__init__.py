"""Sweeps: one program, thousands of runs, any number of devices and hosts.

    base = Configuration(model, fnnet.Adam(1e-3), batch_size=128)
    points = grid(base, {"optimizer.learning_rate": (1e-4, 1e-3, 1e-2)})
    table = sweep(points, train, epochs=5, seeds=range(5), shuffle=jax.random.key(1), validation=validation)
    print(table)

`points` says what is swept, `program` is what is compiled, `running` runs it, `ways` says how many at a time, `table`
is what comes out, and `chunks` puts that into files, so that many hosts can share a sweep and none has to finish it.
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
