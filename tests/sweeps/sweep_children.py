"""The other processes of test_hosts.py: `python sweep_children.py COMMAND ARGUMENT...`. Prints what it did."""

import json
import re
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

import fnnet
from fnnet import Batch
from fnnet.sweeps import Between, Configuration, collect, grid, sample, stack, sweep, sweep_shard
from fnnet.sweeps._sweep import mesh_of, place
from fnnet.sweeps.program import Program, Shared, advance, start

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
OTHER = Batch(RNG.normal(size=(11, 3)).astype(np.float32), RNG.integers(0, 2, 11).astype(np.int32))
BASE = Configuration(fnnet.mlp((3, 5, 2), dropout=0.2), fnnet.Sgd(0.1, 0.9), 4)
COLLECTIVES = r"all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast| send\(| recv\("


def arguments():
    """Made late: nothing may be computed before processes know of each other."""
    return {"epochs": 3, "seeds": (0, 7), "shuffle": jax.random.key(9), "validation": OTHER, "progress": False}


def points():
    """Thirteen points in two programs, one of which diverges: nothing divides evenly."""
    space = {"optimizer.learning_rate": Between(0.01, 1.0, log=True)}
    return sample(BASE, space, count=9, seed=0) + grid(
        BASE, {"model.network[1]": (fnnet.Tanh(),), "optimizer.learning_rate": (0.1, 0.2, 0.3, 1e38)}
    )


def on_devices():
    """How far nine runs on all devices are from one device, and which collectives the compiled program has."""
    rates = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, float("inf"))
    few = grid(Configuration(fnnet.mlp((3, 2)), fnnet.Sgd(0.1), 4), {"optimizer.learning_rate": rates})
    stacked, shared = stack([point.configuration for point in few]), Shared(DATA, None, jax.random.key(9), None)
    losses, text = [], ""
    for devices in (jax.devices()[:1], jax.devices()):
        mesh = mesh_of(devices)
        everywhere = jax.device_put(shared, NamedSharding(mesh, PartitionSpec()))
        program = Program(stacked.axes, mesh, 2, False, False, np.dtype("float32"))
        program, configurations, seeds = place(program, stacked, len(few), (5,), 2)
        arguments = configurations, start(program, configurations, seeds, everywhere), everywhere, *np.int32([0, 3])
        compiled = advance.lower(program, *arguments).compile()
        _, history = compiled(*arguments)
        losses.append(np.asarray(history.training.loss)[: len(few), :3].tolist())
        text = compiled.as_text()
    seen = {"devices": len(jax.devices()), "losses": losses, "collectives": collectives(text)}
    print(json.dumps(seen | {"partitions": re.search(r"num_partitions=(\d+)", text)[1], "control": control()}))


def collectives(text):
    return sorted({*re.findall(COLLECTIVES, text)})


def control():
    """What `collectives` sees in a program that has one."""
    mesh = mesh_of(jax.local_devices())
    by_run, everywhere = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in (("runs",), ()))
    x = jax.device_put(np.zeros(8, np.float32), by_run)
    return collectives(jax.jit(lambda x: x.sum(), out_shardings=everywhere).lower(x).compile().as_text())


def sweeping():
    print(json.dumps(sweep(points(), DATA, **arguments()).metric("validation_loss").tolist()))


def sharing(folder):
    """Forty chunks of a third of a second, a line for each, so that somebody can kill it in the middle."""
    many = sample(BASE, {"optimizer.learning_rate": Between(0.01, 1.0, log=True)}, count=40, seed=1)
    long = {**arguments(), "epochs": 3000, "progress": True}
    print("path", sweep_shard(many, DATA, folder=folder, chunk=1, **long), flush=True)


def distributed(port, process, folder):
    """One of two processes that know of each other and share a folder; the second one finds all the chunks."""
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
    assert (len(jax.devices()), len(jax.local_devices())) == (2, 1)
    path = sweep_shard(points(), DATA, folder=folder, host=jax.process_index(), hosts=jax.process_count(), chunk=4,
                 **arguments())  # fmt: skip
    multihost_utils.sync_global_devices("all chunks are there")
    print(json.dumps(collect(path).metric("loss").tolist()))


if __name__ == "__main__":
    commands = {
        "on_devices": on_devices,
        "sweeping": sweeping,
        "sharing": sharing,
        "distributed": distributed,
    }
    commands[sys.argv[1]](*sys.argv[2:])
