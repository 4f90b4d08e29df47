"""200 updates as PyTorch, optax and schedulefree make them: references/optimizers.npz against fnnet, in float64.

The id of a test is the peer's own expression. references/make_optimizers.py says what the problems are.
"""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fnnet
from fnnet import ExponentialDecay, RunningMean, Warmup
from fnnet.layers import DenseParams
from fnnet.optimizers import (
    AdaDelta,
    AdaGrad,
    Adam,
    AdaMax,
    AdamW,
    AmsGrad,
    Average,
    Chain,
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    Lion,
    Lookahead,
    Matrices,
    MaxNorm,
    Muon,
    Nadam,
    Partition,
    RmsProp,
    ScheduleFreeAdam,
    Sgd,
    WeightDecay,
    averaged,
)

FILE = np.load(Path(__file__).parent / "references" / "optimizers.npz", allow_pickle=False)
REFERENCE = {name: FILE[name] for name in FILE.files}
OURS = {
    "torch.optim.SGD(params, lr=0.5)": Sgd(0.5),
    "torch.optim.SGD(params, lr=0.1, momentum=0.9)": Sgd(0.1, 0.9),
    "torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)": Sgd(0.1, 0.9, nesterov=True),
    "torch.optim.Adagrad(params, lr=0.1)": AdaGrad(0.1),
    "torch.optim.Adagrad(params, lr=0.1, initial_accumulator_value=0.1, eps=1e-3)": AdaGrad(0.1, 0.1, 1e-3),
    "torch.optim.RMSprop(params, lr=0.01)": RmsProp(0.01),
    "torch.optim.RMSprop(params, lr=0.01, alpha=0.9, eps=1e-3, momentum=0.9)": RmsProp(0.01, 0.9, 1e-3, 0.9),
    "torch.optim.RMSprop(params, lr=0.01, alpha=0.9, eps=1e-2, centered=True)": RmsProp(0.01, 0.9, 1e-2, centered=True),
    "torch.optim.RMSprop(params, lr=0.003, alpha=0.9, eps=1e-2, momentum=0.5, centered=True)": RmsProp(
        0.003, 0.9, 1e-2, 0.5, centered=True
    ),
    "optax.rmsprop(0.01, decay=0.9, eps=1e-3, eps_in_sqrt=False, momentum=0.9)": RmsProp(0.01, 0.9, 1e-3, 0.9),
    "torch.optim.Adadelta(params, lr=1.0)": AdaDelta(),
    "torch.optim.Adadelta(params, lr=0.5, rho=0.95, eps=1e-4)": AdaDelta(0.5, 0.95, 1e-4),
    "torch.optim.Adam(params, lr=0.01)": Adam(0.01),
    "torch.optim.Adam(params, lr=0.05, betas=(0.8, 0.95), eps=1e-3)": Adam(0.05, 0.8, 0.95, 1e-3),
    "torch.optim.Adam(params, lr=0.02, betas=(0.9, 0.9), amsgrad=True)": AmsGrad(0.02, 0.9, 0.9),
    "torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)": AdamW(0.01, weight_decay=0.1),
    "optax.adamw(0.01, weight_decay=0.1, mask=mask)": AdamW(0.01, weight_decay=0.1),
    "torch.optim.NAdam(params, lr=0.01)": Nadam(0.01, momentum_decay=0.004),
    "torch.optim.NAdam(params, lr=0.002, betas=(0.8, 0.95), eps=1e-3, momentum_decay=0.02)": Nadam(
        0.002, 0.8, 0.95, 1e-3, 0.02
    ),
    "optax.nadam(0.01)": Nadam(0.01),
    "torch.optim.Adamax(params, lr=0.01)": AdaMax(0.01),
    "torch.optim.Adamax(params, lr=0.05, betas=(0.8, 0.95), eps=1e-3)": AdaMax(0.05, 0.8, 0.95, 1e-3),
    "optax.lion(0.003, weight_decay=0)": Lion(0.003),
    "optax.lion(0.003, b1=0.8, b2=0.95, weight_decay=0.1, mask=mask)": Chain(
        (Lion(0.003, 0.8, 0.95), WeightDecay(3e-4))
    ),
    "optax.chain(optax.clip(0.05), optax.sgd(0.5))": Chain((ClipByValue(0.05), Sgd(0.5))),
    "optax.chain(each(optax.projections.projection_l2_ball, scale=0.1), optax.sgd(0.5))": Chain(
        (ClipByNorm(0.1), Sgd(0.5))
    ),
    "optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.5, momentum=0.9))": Chain(
        (ClipByGlobalNorm(0.1), Sgd(0.5, 0.9))
    ),
    "optax.chain(optax.adam(0.01), optax.add_decayed_weights(-0.001, mask=mask))": Chain(
        (Adam(0.01), WeightDecay(0.001))
    ),
    "optax.adam(0.02), then columns_in_ball(scale=0.8)": Chain((Adam(0.02), MaxNorm(0.8))),
    "optax.adam(0.01), then optax.ema(0.9) of the parameters": Chain((Adam(0.01), Average(0.9))),
    "optax.chain(momentum(0.9, nesterov=True), optax.contrib.muon(rate, beta=0, nesterov=False)), rate 0.1 0.9^t": (
        Partition(Matrices(), Muon(ExponentialDecay(0.1, 0.9), 0.9, 1e-8), Adam(ExponentialDecay(0.1, 0.9)))
    ),
    "optax.chain(momentum(0.5), optax.contrib.muon(0.05, ns_steps=3, beta=0, eps=5.0, nesterov=False))": Partition(
        Matrices(), Muon(0.05, 0.5, 5, nesterov=False, steps=3), Adam(0.05, epsilon=5)
    ),
    "schedulefree.AdamWScheduleFree(params, lr=0.05)": ScheduleFreeAdam(0.05),
    "schedulefree.AdamWScheduleFree(params, lr=0.05), then eval": ScheduleFreeAdam(0.05),
    "schedulefree.AdamWScheduleFree(groups, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, warmup_steps=30)": (
        ScheduleFreeAdam(Warmup(0.02, 30), 0.8, 0.95, 1e-3, 0.1)
    ),
    "schedulefree.AdamWScheduleFree(groups, lr=0.02, betas=(0.98, 0.95), weight_decay=0.1, warmup_steps=30), then eval": (  # noqa: E501
        ScheduleFreeAdam(Warmup(0.02, 30), 0.98, 0.95, weight_decay=0.1)
    ),
    "optax.lookahead(optax.sgd(0.1, momentum=0.9), 5, 0.5)": Lookahead(Sgd(0.1, 0.9)),
    "optax.lookahead(optax.adam(0.02), 3, 0.8)": Lookahead(Adam(0.02), 3, 0.8),
    "torch.optim.Adam(params, lr=0.01), then AveragedModel from update 41 on": Chain(
        (Adam(0.01), Average(RunningMean(40)))
    ),
}
AVERAGED = ("ema(0.9) of the parameters", "then eval", "then AveragedModel from update 41 on")
MODEL = fnnet.Model(fnnet.Serial((fnnet.Dense(5), fnnet.Tanh(), fnnet.Dense(2))), fnnet.SoftmaxCrossEntropy(), (3,))


def network(flat):
    """The model's parameters out of 32 numbers."""
    w1, b1, w2, b2 = jnp.split(flat, [15, 20, 30])
    return (DenseParams(w1.reshape(3, 5), b1), (), DenseParams(w2.reshape(5, 2), b2))


def bowl(flat):
    """A weight and a bias out of 8 numbers."""
    return DenseParams(flat[:6].reshape(3, 2), flat[6:])


def flattened(params):
    return jnp.concatenate([p.ravel() for p in jax.tree.leaves(params)])


def gradient(flat, batch):
    """Of the mean loss of four rows, derived by fnnet."""
    return fnnet.backward(MODEL, network(flat), *batch)[1]


def walk(optimizer, averages, formed, gradient, start, inputs):
    """All places after an update, flat; the averaged ones where asked."""

    def step(carry, now):
        (flat, state), (x, t) = carry, now
        params = formed(flat)
        updates, state = fnnet.at_step(optimizer, t, "float64").update(gradient(flat, x), state, params)
        flat = flattened(jax.tree.map(jnp.add, params, updates))
        return (flat, state), flattened(averaged(state, params)) if averages else flat

    return jax.lax.scan(step, (start, optimizer.init(formed(start))), (inputs, jnp.arange(200)))[1]


@partial(jax.jit, static_argnames="averages")
def walks(optimizer, given, averages):
    """Where every problem is after every update."""
    turns = jnp.arange(200) % 3
    batches = (given["x"].reshape(3, 4, 3)[turns], given["y"].reshape(3, 4)[turns])

    def down(matrix):
        return walk(optimizer, averages, bowl, lambda flat, _: bowl(matrix @ flat), given["aligned_start"], None)

    aligned, turned = jax.vmap(down)(jnp.stack([given["aligned"], given["turned"]]))
    return {
        "network": walk(optimizer, averages, network, gradient, given["network_start"], batches),
        "aligned": aligned,
        "turned": turned,
    }


@pytest.mark.parametrize("row", OURS)
def test_200_updates_are_those_of(row, float64):
    given = {name: jnp.asarray(a) for name, a in REFERENCE.items() if a.dtype.kind in "fi"}
    got = walks(OURS[row], given, row.endswith(AVERAGED))
    number = REFERENCE["rows"].tolist().index(row)
    for problem, places in got.items():
        want = REFERENCE[f"{problem}_walks"][number]
        np.testing.assert_allclose(places[REFERENCE["kept"] - 1], want, rtol=1e-6, atol=0, err_msg=problem)
        assert np.abs(want[-1] - REFERENCE[f"{problem}_start"]).max() > 0.1


def test_every_row_of_the_file_is_compared():
    assert sorted(REFERENCE["rows"].tolist()) == sorted(OURS)
    assert REFERENCE["kept"][-1] == 200


def test_the_bowls_are_badly_scaled():
    for problem in ("aligned", "turned"):
        sizes = np.linalg.eigvalsh(REFERENCE[problem])
        np.testing.assert_allclose([sizes[0], sizes[-1]], [1e-6, 1], rtol=1e-6)
