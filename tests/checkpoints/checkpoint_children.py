"""The other process of test_checkpoints.py: `python checkpoint_children.py COMMAND FOLDER`. Prints what it did."""

import hashlib
import inspect
import os
import sys
from pathlib import Path

import jax
import numpy as np

import fnnet
from fnnet import Batch, checkpoints, optimizers

RNG = np.random.default_rng(0)
DATA = Batch(RNG.normal(size=(23, 3)).astype(np.float32), RNG.integers(0, 2, 23).astype(np.int32))
MODEL = fnnet.mlp((3, 5, 2), dropout=0.2, penalty=fnnet.L2(1e-3))
EPOCH = {"batch_size": 4, "shuffle": jax.random.key(9)}
NUMBERS = 0.5  # what every option of an optimizer is switched on with
SIZE = 200_000  # floats in a state that is saved in a loop


def transformations():
    """Every optimizer that fnnet exports, with all of its options on; found, not listed, so that none is forgotten."""
    exported = (getattr(optimizers, name) for name in getattr(optimizers, "__all__", vars(optimizers)))
    classes = [c for c in exported if inspect.isclass(c) and hasattr(c, "init") and hasattr(c, "update")]
    composed = (optimizers.Chain, optimizers.Partition, optimizers.Lookahead, optimizers.Muon)
    return [
        *(with_all_options(c) for c in classes if c not in composed),
        optimizers.Partition(optimizers.Matrices(), with_all_options(optimizers.Muon), fnnet.Adam()),
        optimizers.Lookahead(fnnet.Adam()),
    ]


def with_all_options(cls):
    """An instance in which nothing is None or False."""
    settings = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        default = parameter.default
        if default is parameter.empty:
            settings[name] = fnnet.CosineDecay(0.01, 50) if name == "learning_rate" else 0.01
        elif default is None:
            settings[name] = NUMBERS
        elif default is False:
            settings[name] = True
    return cls(**settings)


def everything():
    """Name -> optimizer: each transformation, one without state, and a chain."""
    return {
        **{type(transformation).__name__: transformation for transformation in transformations()},
        "plain": fnnet.Sgd(0.1),
        **some(),
    }


def some():
    """For processes that a person waits for: averages, a count, a schedule, and noise."""
    transformations = (optimizers.GradientNoise(0.01), fnnet.Adam(fnnet.CosineDecay(0.01, 50)), fnnet.Sgd(-1.0, 0.9))
    return {"Chain": optimizers.Chain(transformations)}


def sha(tree):
    """One digest of every bit in a tree, structure and dtypes included."""
    digest = hashlib.sha256()
    for path, a in jax.tree_util.tree_leaves_with_path(tree):
        a = np.asarray(jax.random.key_data(a) if jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key) else a)
        digest.update(f"{jax.tree_util.keystr(path)} {a.dtype} {a.shape}".encode() + a.tobytes())
    return digest.hexdigest()


def finish(model, optimizer, state):
    """From the middle of the first epoch to the middle of the second."""
    state, _ = fnnet.train_epoch(model, optimizer, state, DATA, **EPOCH, start=2)
    state, metrics = fnnet.train_epoch(model, optimizer, state, DATA, **EPOCH, stop=2)
    return sha((state, metrics))


def never_stopping(folder, chosen):
    for name, optimizer in chosen.items():
        state = fnnet.init_state(MODEL, optimizer, jax.random.key(1))
        state, _ = fnnet.train_epoch(MODEL, optimizer, state, DATA, **EPOCH, stop=2)
        checkpoints.save(folder / f"{name}.safetensors", MODEL, optimizer, state, data=DATA)
        print(name, finish(MODEL, optimizer, state), flush=True)


def resuming(folder, chosen):
    for name in chosen:
        saved = checkpoints.restore(folder / f"{name}.safetensors", data=DATA)
        print(name, finish(saved.model, saved.optimizer, saved.state), flush=True)


def large(step):
    """A model with a state that says which step it is in every number, without training."""
    model, optimizer = fnnet.Model(fnnet.Dense(SIZE), fnnet.SquaredError(), (1,)), fnnet.Sgd(0.1)
    params = fnnet.layers.DenseParams(np.full((1, SIZE), step, np.float32), np.full(SIZE, step, np.float32))
    return model, optimizer, fnnet.TrainState(params, None, np.asarray(step, np.int32), jax.random.key(0))


def saver(folder):
    """For every line of stdin a new process that saves on and on, announcing each save, until somebody kills it."""
    print("ready", flush=True)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            save_on_and_on(folder)
        print("pid", child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


def save_on_and_on(folder):
    newest = checkpoints.latest(folder)
    step = 0 if newest is None else int(newest.stem.removeprefix("step-"))
    with checkpoints.CheckpointManager(folder, last=2) as manager:
        while True:
            step += 1
            manager.save(*large(step))
            manager.save(*large(step))  # in place of the one before, too
            os.write(1, f"saved {step}\n".encode())


if __name__ == "__main__":
    commands = {
        "never-stopping": lambda folder: never_stopping(folder, some()),
        "resuming": lambda folder: resuming(folder, some()),
        "never-stopping-everything": lambda folder: never_stopping(folder, everything()),
        "resuming-everything": lambda folder: resuming(folder, everything()),
        "saver": saver,
    }
    commands[sys.argv[1]](Path(sys.argv[2]))
