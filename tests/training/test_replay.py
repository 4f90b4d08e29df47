"""The first tensor that is not finite is the first in the run that was: its schedules, noise, optimizer and rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import Batch
from fnnet.training import _fit
from fnnet.training.nonfinite import find_culprit
from fnnet.training.rows import Rows
from fnnet.training.sources import Streamed, in_memory
from fnnet.training.stopping import scaled

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3)).astype(np.float32), RNG.normal(size=(24, 3)).astype(np.float32)


def found(model, optimizer, x=X, *, params=None, rows=None):
    """The culprit of an epoch in order, in batches of 8."""
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    state = state if params is None else state._replace(params=params)
    return state, find_culprit(model, optimizer, state, in_memory(Rows(Batch(x, Y), rows)), 8, None)


def test_a_penalty_that_overflows_later_is_found_at_its_step():
    """Its strength is 1e-3 at first, 1e35 then, and infinite in the third step."""
    model = fnnet.mlp((3, 3), loss=fnnet.SquaredError(), penalty=fnnet.L2(fnnet.ExponentialDecay(1e-3, 1e38)))
    _, culprit = found(model, fnnet.Sgd(0.0))
    assert (culprit.step, culprit.tensor, culprit.value) == (2, "the loss of the batch", np.inf)


def test_a_mask_of_dropout_is_the_one_that_was_drawn():
    """What is not dropped overflows: the first such entry is that of the step's own mask."""
    model = fnnet.Model(fnnet.Serial((fnnet.Dropout(0.9), fnnet.Exp())), fnnet.AbsoluteError(), (3,))
    large = np.where(np.arange(24)[:, None] // 8 == 1, np.float32(1e30), X)
    state, culprit = found(model, fnnet.Sgd(0.1), large)
    pass_key, _ = jax.random.split(jax.random.fold_in(state.key, 1))
    y = fnnet.forward(model, state.params, large[8:16], key=pass_key)
    assert (culprit.step, culprit.tensor) == (1, "y, the output of layer 1 Exp")
    assert culprit.entry == tuple(np.argwhere(np.isinf(y))[0]) != (0, 0)


def test_an_optimizers_state_that_overflows_is_found_before_what_follows_from_it():
    """Adam's average of squares is infinite a step before the parameters are not finite: steps of 0 hide it."""
    model = fnnet.mlp((3, 3), loss=fnnet.AbsoluteError())
    large = X.copy()
    large[8:16] *= 1e21
    large[16:] = np.nan
    _, culprit = found(model, fnnet.Adam(0.1), large)
    assert culprit.step == 1
    assert culprit.tensor.startswith("opt_state after the update, ")
    assert culprit.value == np.inf


def test_gradients_are_looked_at_in_the_order_in_which_they_are_computed():
    """Forward stays finite; in the backward pass the cotangent overflows in the middle, and with it all before."""
    network = fnnet.Serial((fnnet.Dense(3), fnnet.Dense(3), fnnet.Dense(3)))
    model = fnnet.Model(network, fnnet.AbsoluteError(), (3,))
    params, _ = network.init(jax.random.key(0), (3,))
    params = jax.tree.map(lambda p: jnp.full_like(p, 1e20 if p.ndim == 2 else 0), params)
    _, culprit = found(model, fnnet.Sgd(1e-3), 1e-36 * np.abs(X), params=params)
    assert culprit.tensor == "dx, the gradient of the input of layer 1 Dense"


@pytest.mark.parametrize("source", [in_memory, Streamed])
def test_the_row_is_numbered_as_in_the_data(source):
    bad, rows = X.copy(), np.arange(24)[::-1][:20]
    bad[5] = np.nan
    model = fnnet.mlp((3, 3), loss=fnnet.SquaredError())
    state = fnnet.init_state(model, fnnet.Sgd(0.1), jax.random.key(0))
    culprit = find_culprit(model, fnnet.Sgd(0.1), state, source(Rows(Batch(bad, Y), rows)), 8, None)
    assert (culprit.step, culprit.entry, culprit.row) == (2, (2, 0), 5)


def test_the_replay_takes_the_learning_rate_that_the_plateau_left(monkeypatch):
    seen = []
    monkeypatch.setattr(_fit, "find_culprit", lambda model, optimizer, *_: seen.append(optimizer))
    model = fnnet.mlp((3, 3), loss=fnnet.SquaredError(), penalty=fnnet.L2(fnnet.ExponentialDecay(1e-30, 1e20)))
    optimizer = fnnet.Sgd(0.0)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    with pytest.raises(fnnet.NonFiniteError) as caught:
        fnnet.fit(
            model, optimizer, state, Batch(X, Y), epochs=9, batch_size=24, shuffle=None, progress=False,
            validation=Batch(X, Y), plateau=fnnet.ReduceOnPlateau(0.5, patience=1, min_delta=1e6),
        )  # fmt: skip
    scale = caught.value.history.plateau.scale
    assert scale < 1
    assert seen == [scaled(optimizer, scale)]
