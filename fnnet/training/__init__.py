"""Everything that moves parameters.

Pure, each a single compiled program:

    state, metrics = train_step(model, optimizer, state, batch)                                    one update
    state, metrics = train_epoch(model, optimizer, state, data, batch_size=128, shuffle=key)       every row once
    state, history = train(model, optimizer, state, data, epochs=5, batch_size=128, shuffle=key)   a whole run
    metrics        = evaluate(model, params, data)

and `fit`, the shell around an epoch: progress, early stopping, data from disk or on many devices, Ctrl-C.

    state      TrainState, Metrics, History         steps      one update
    epochs     whole epochs and runs                rows       which rows, with what weights
    sources    where rows are stored                stopping   rules that act between epochs
    nonfinite  the first number that is not finite  checks     of values, outside of jit
    _fit       the shell
"""

from fnnet.training._fit import Interrupted, NonFiniteError, fit
from fnnet.training.epochs import evaluate, train, train_epoch
from fnnet.training.nonfinite import Culprit
from fnnet.training.sources import data_mesh
from fnnet.training.state import History, Metrics, TrainState, init_state
from fnnet.training.steps import train_step
from fnnet.training.stopping import EarlyStopping, ReduceOnPlateau

__all__ = [
    "Culprit",
    "EarlyStopping",
    "History",
    "Interrupted",
    "Metrics",
    "NonFiniteError",
    "ReduceOnPlateau",
    "TrainState",
    "data_mesh",
    "evaluate",
    "fit",
    "init_state",
    "train",
    "train_epoch",
    "train_step",
]
