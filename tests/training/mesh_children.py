"""One process of a training that several devices share; run by test_mesh.py.

    python mesh_children.py FOLDER [RANK PROCESSES PORT]

Trains on every device there is and writes what came out to FOLDER/RANK.npz.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import fnnet

RNG = np.random.default_rng(0)
DATA = fnnet.Batch(RNG.normal(size=(205, 6)).astype(np.float32), RNG.integers(0, 3, 205).astype(np.int32))
OTHER = fnnet.Batch(RNG.normal(size=(21, 6)).astype(np.float32), RNG.integers(0, 3, 21).astype(np.int32))
MODEL = fnnet.mlp((6, 16, 8, 3), penalty=fnnet.L2(1e-3))
OPTIMIZER = fnnet.Adam(0.01)
SETTINGS = {"epochs": 5, "batch_size": 20, "progress": False, "validation": OTHER}


def trained(mesh):
    """(state, history) after 55 steps; of the last batch of an epoch, 5 rows of 20 are real."""
    state = fnnet.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    return fnnet.fit(MODEL, OPTIMIZER, state, DATA, mesh=mesh, shuffle=jax.random.key(9), **SETTINGS)


def main(folder, rank=0, processes=1, port=None):
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank)
    mesh = fnnet.data_mesh()
    state, history = trained(mesh)
    leaves = [np.asarray(a) for a in jax.tree.leaves((state.params, history))]
    np.savez(folder / f"{rank}.npz", *leaves, devices=len(state.params[0].w.sharding.device_set))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
