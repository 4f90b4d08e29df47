"""The other processes of test_sweeps_many.py: `python sweep_children.py COMMAND ARGUMENT...`. Prints what it did."""

import json
import re
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils

import fnnet
from fnnet import Batch
from fnnet.sweeps import Between, Configuration, collect, draw, grid, share, sweep
from fnnet.sweeps.program import advance, start
from fnnet.sweeps.running import Options, grouped, mesh_of, shared_by

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
BASE = Configuration(fnnet.mlp((3, 5, 2), dropout=0.2), fnnet.Sgd(0.1, 0.9), 4)
ARGUMENTS = {"epochs": 3, "seeds": (0, 7), "order": jax.random.key(9), "validation": OTHER, "progress": False}
COLLECTIVES = r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast| send\(| recv\("


def points():
    """Thirteen points in two programs, one of which diverges: nothing divides evenly."""
    space = {"optimizer.learning_rate": Between(0.01, 1.0, log=True)}
    return draw(BASE, space, count=9, seed=0) + grid(
        BASE, {"model.network[1]": (fnnet.Tanh(),), "optimizer.learning_rate": (0.1, 0.2, 0.3, 1e30)}
    )


def on_devices():
    """How far a sweep on all devices is from one device, and which collectives its compiled program has."""
    tables = [sweep(points()[-4:], DATA, devices=d, **ARGUMENTS) for d in (jax.devices(), jax.devices()[:1])]
    mesh, options = mesh_of(None), Options(3, (0, 7), False, None, "loss", False, np.dtype("float32"), False)
    specs = [point.configuration for point in points()[-4:]]
    group = grouped(specs, shared_by(mesh, DATA, OTHER, ARGUMENTS["order"], None), mesh, options, 2)
    runs = start(*group[:-1])
    text = advance.lower(*group[:-2], runs, np.int32(0), np.int32(1)).compile().as_text()
    print(json.dumps({
        "devices": len(jax.devices()),
        "apart": {name: float(np.nanmax(np.abs(c - tables[1].curves[name]))) for name, c in tables[0].curves.items()},
        "diverged": [table.diverged.tolist() for table in tables],
        "collectives": sorted({*re.findall(COLLECTIVES, text)}),
        "sharded": text.count("num_partitions=8"),
    }))  # fmt: skip


def sharing(folder, host="0", hosts="1"):
    """One host's share, a line for every chunk, so that somebody can kill it in the middle."""
    print("path", share(points(), DATA, folder=folder, host=int(host), hosts=int(hosts), chunk=1,
                        **{**ARGUMENTS, "progress": True}))  # fmt: skip


def distributed(port, process, folder):
    """One of two processes that know of each other and share a folder; the second one finds all the chunks."""
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    assert (len(jax.devices()), len(jax.local_devices())) == (2, 1)
    path = share(points(), DATA, folder=folder, host=jax.process_index(), hosts=jax.process_count(), chunk=4,
                 **ARGUMENTS)  # fmt: skip
    multihost_utils.sync_global_devices("all chunks are there")
    print(json.dumps(collect(path).figure("loss").tolist()))


if __name__ == "__main__":
    commands = {"on_devices": on_devices, "sharing": sharing, "distributed": distributed}
    commands[sys.argv[1]](*sys.argv[2:])
