"""Checkpoints: a run on disk, exactly, in one safetensors file.

    fnnet.save("run/last.safetensors", model, optimizer, state, history=history, data=train)
    saved = fnnet.restore("run/last.safetensors", types=(MyLayer,), data=train)
    state, history = fnnet.fit(saved.model, saved.optimizer, saved.state, train, ...)

    with fnnet.CheckpointManager("run", last=3) as manager:     # a folder: the last three and the best, one writer
        manager.save(model, optimizer, state, score=accuracy)
    path = fnnet.latest("run")

A file holds the model and optimizer (by class name), the TrainState, history, a table's columns, a text's vocabulary,
score, versions and the digest of the data, and a SHA-256 over all of it. `checkpoint` says what is stored, `documents`
how trees become JSON and tensors, `files` how bytes reach the disk whole or not at all, `manager` what a folder keeps.

To save from other processes, start them before JAX has computed anything, or with multiprocessing's "spawn": JAX runs
threads, which a fork does not copy, so that a process forked after the first computation can hang.
"""

from fnnet.checkpoints.checkpoint import Checkpoint, data_digest, restore, save
from fnnet.checkpoints.files import CheckpointError
from fnnet.checkpoints.manager import CheckpointManager, latest

__all__ = ["Checkpoint", "CheckpointError", "CheckpointManager", "data_digest", "latest", "restore", "save"]
