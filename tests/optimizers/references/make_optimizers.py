"""Writes optimizers.npz: where optimizers of PyTorch, optax and schedulefree take small problems in 200 updates.

    python -m venv peers && peers/bin/pip install torch==2.13.0 optax==0.2.8 schedulefree==1.4.1 jax==0.10.2 numpy
    peers/bin/python tests/optimizers/references/make_optimizers.py

All in float64. A row is the peer's own expression, evaluated here and the id of a test there. `groups` are the
parameters with no weight decay for biases, `mask` is true for weights. Gradients are the peer's, by automatic
differentiation. PyTorch's NAdam computes its momentum in float32, so its rows agree to 1e-8 only.

Weights have `momentum`, PyTorch's, before optax's Muon, which corrects its own; PyTorch's Muon computes in bfloat16.
Muon at a rate that stays is chaotic, unless epsilon is large: rounding grows until two computers agree in nothing.

    network          3-5-2 with tanh, mean softmax cross-entropy, update t on rows 4 (t mod 3) .. 4 (t mod 3) + 3 of 12
    aligned, turned  theta A theta / 2 with eigenvalues 1e-6 to 1, A diagonal or full; six entries are a weight, two a
                     bias

The file holds the problems, their starts, and for every row the parameters after KEPT updates, one after the other.
"""

from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import schedulefree
import torch

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)

KEPT = (1, 2, 3, 5, 10, 20, 50, 100, 150, 200)
SHAPES = {"network": ((3, 5), (5,), (5, 2), (2,)), "aligned": ((3, 2), (2,)), "turned": ((3, 2), (2,))}
ROWS = (
    "torch.optim.SGD(params, lr=0.5)",
    "torch.optim.SGD(params, lr=0.1, momentum=0.9)",
    "torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)",
    "torch.optim.Adagrad(params, lr=0.1)",
    "torch.optim.Adagrad(params, lr=0.1, initial_accumulator_value=0.1, eps=1e-3)",
    "torch.optim.RMSprop(params, lr=0.01)",
    "torch.optim.RMSprop(params, lr=0.01, alpha=0.9, eps=1e-3, momentum=0.9)",
    "torch.optim.RMSprop(params, lr=0.01, alpha=0.9, eps=1e-2, centered=True)",
    "torch.optim.RMSprop(params, lr=0.003, alpha=0.9, eps=1e-2, momentum=0.5, centered=True)",
    "optax.rmsprop(0.01, decay=0.9, eps=1e-3, eps_in_sqrt=False, momentum=0.9)",
    "torch.optim.Adadelta(params, lr=1.0)",
    "torch.optim.Adadelta(params, lr=0.5, rho=0.95, eps=1e-4)",
    "torch.optim.Adam(params, lr=0.01)",
    "torch.optim.Adam(params, lr=0.05, betas=(0.8, 0.95), eps=1e-3)",
    "torch.optim.Adam(params, lr=0.02, betas=(0.9, 0.9), amsgrad=True)",
    "torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)",
    "optax.adamw(0.01, weight_decay=0.1, mask=mask)",
    "torch.optim.NAdam(params, lr=0.01)",
    "torch.optim.NAdam(params, lr=0.002, betas=(0.8, 0.95), eps=1e-3, momentum_decay=0.02)",
    "optax.nadam(0.01)",
    "torch.optim.Adamax(params, lr=0.01)",
    "torch.optim.Adamax(params, lr=0.05, betas=(0.8, 0.95), eps=1e-3)",
    "optax.lion(0.003, weight_decay=0)",
    "optax.lion(0.003, b1=0.8, b2=0.95, weight_decay=0.1, mask=mask)",
    "optax.chain(optax.clip(0.05), optax.sgd(0.5))",
    "optax.chain(each(optax.projections.projection_l2_ball, scale=0.1), optax.sgd(0.5))",
    "optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.5, momentum=0.9))",
    "optax.chain(optax.adam(0.01), optax.add_decayed_weights(-0.001, mask=mask))",
    "optax.adam(0.02), then columns_in_ball(scale=0.8)",
    "optax.adam(0.01), then optax.ema(0.9) of the parameters",
    "optax.chain(momentum(0.9, nesterov=True), optax.contrib.muon(rate, beta=0, nesterov=False)), rate 0.1 0.9^t",
    "optax.chain(momentum(0.5), optax.contrib.muon(0.05, ns_steps=3, beta=0, eps=5.0, nesterov=False))",
    "schedulefree.AdamWScheduleFree(params, lr=0.05)",
    "schedulefree.AdamWScheduleFree(params, lr=0.05), then eval",
    "schedulefree.AdamWScheduleFree(groups, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, warmup_steps=30)",
    "schedulefree.AdamWScheduleFree(groups, lr=0.02, betas=(0.98, 0.95), weight_decay=0.1, warmup_steps=30), then eval",
    "optax.lookahead(optax.sgd(0.1, momentum=0.9), 5, 0.5)",
    "optax.lookahead(optax.adam(0.02), 3, 0.8)",
    "torch.optim.Adam(params, lr=0.01), then AveragedModel from update 41 on",
)


def mask(params):
    """True for weights, which are matrices here."""
    return [p.ndim == 2 for p in params]


def each(function, **settings):
    """A transformation that is the function of every update by itself."""
    return optax.stateless(lambda updates, params: [function(u, **settings) for u in updates])


def momentum(decay, nesterov=False):
    """v <- decay v + g of weights."""
    return optax.masked(optax.trace(decay, nesterov), mask)


def columns_in_ball(params, scale):
    """The parameters, every column of a weight projected onto the ball of this radius."""
    ball = jax.vmap(lambda column: optax.projections.projection_l2_ball(column, scale), 1, 1)
    return [ball(p) if p.ndim == 2 else p for p in params]


def problems():
    """Arrays by name: the rows and classes, the matrices of the quadratics, and where all start."""
    rng = np.random.default_rng(20)
    x = rng.normal(size=(12, 3)) * [1, 10, 0.1]
    rotation, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    scales = np.logspace(-6, 0, 8)
    turned = rotation * scales @ rotation.T
    starts = [rng.normal(size=np.prod(shape)) for shape in SHAPES["network"]]
    bowl = rng.normal(size=8)
    return {
        "x": x,
        "y": (x @ [1, -0.1, 5] > 0.3).astype(np.int64),
        "aligned": np.diag(scales),
        "turned": (turned + turned.T) / 2,
        "network_start": np.concatenate(starts),
        "aligned_start": bowl,
        "turned_start": bowl,
    }


def split(flat, problem):
    """The arrays of a problem that lie one after the other in flat."""
    shapes = SHAPES[problem]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def flat(params, xp):
    """All parameters one after the other."""
    return xp.concatenate([p.reshape(-1) for p in params])


def loss(problem, given, xp, cross_entropy):
    """The loss of parameters at update t, in the peer's arrays."""

    def network(params, t):
        w1, b1, w2, b2 = params
        rows = slice(4 * (t % 3), 4 * (t % 3) + 4)
        return cross_entropy(xp.tanh(given["x"][rows] @ w1 + b1) @ w2 + b2, given["y"][rows])

    def quadratic(params, t):
        theta = flat(params, xp)
        return theta @ (given[problem] @ theta) / 2

    return network if problem == "network" else quadratic


def torch_walk(row, problem, given, start):
    """Where PyTorch goes: the parameters after every update, flat, or what `, then` makes of them."""
    given = {name: torch.tensor(a) for name, a in given.items()}
    params = [torch.tensor(p, requires_grad=True) for p in start]
    groups = [{"params": [p], **({} if p.ndim == 2 else {"weight_decay": 0})} for p in params]
    update, _, then = row.partition(", then ")
    optimizer = eval(update, {"torch": torch, "schedulefree": schedulefree, "params": params, "groups": groups})
    average = torch.optim.swa_utils.AveragedModel(torch.nn.ParameterList(params))
    value = loss(problem, given, torch, torch.nn.functional.cross_entropy)
    for t in range(KEPT[-1]):
        if row.startswith("schedulefree"):
            optimizer.train()
        optimizer.zero_grad()
        value(params, t).backward()
        optimizer.step()
        if then == "eval":
            optimizer.eval()
        if then.startswith("AveragedModel"):
            average.update_parameters(torch.nn.ParameterList(params))
            average.n_averaged *= t >= 40
        yield flat(average.module if then.startswith("AveragedModel") else params, torch).detach().numpy().copy()


def mean_cross_entropy(logits, y):
    """As PyTorch has it."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def optax_walk(row, problem, given, start):
    """Where optax goes: the parameters after every update, flat, or what `, then` makes of them."""
    given = {name: jnp.asarray(a) for name, a in given.items()}
    params = [jnp.asarray(p) for p in start]
    update, _, then = row.partition(", then ")
    update, _, _ = update.partition(", rate ")
    names = {"mask": mask, "each": each, "momentum": momentum, "rate": lambda t: 0.1 * 0.9 ** t.astype("float64")}
    optimizer = eval(update, {"optax": optax, **names})
    average = optax.ema(0.9)
    average_state = average.init(params)
    is_pair = row.startswith("optax.lookahead")
    params = optax.LookaheadParams.init_synced(params) if is_pair else params
    state = optimizer.init(params)
    take = jax.jit(optimizer.update) if "muon" in update else optimizer.update  # its loop would compile in every update
    gradient = jax.jit(jax.grad(loss(problem, given, jnp, mean_cross_entropy)), static_argnums=1)
    for t in range(KEPT[-1]):
        updates, state = take(gradient(params.fast if is_pair else params, t % 3), state, params)
        params = optax.apply_updates(params, updates)
        if then.startswith("columns_in_ball"):
            params = columns_in_ball(params, scale=0.8)
        fast = params.fast if is_pair else params
        averaged, average_state = average.update(fast, average_state)
        yield np.asarray(flat(averaged if then.startswith("optax.ema") else fast, jnp))


def main():
    """Take every row down every problem and write the file."""
    given = problems()
    out = {"rows": np.array(ROWS), "kept": np.array(KEPT), **given}
    out["versions"] = np.array([f"{name} {version(name)}" for name in ("torch", "optax", "jax", "schedulefree")])
    for problem in SHAPES:
        start, walks = given[f"{problem}_start"], []
        for row in ROWS:
            walk = optax_walk if row.startswith("optax") else torch_walk
            places = list(walk(row, problem, given, split(start, problem)))
            walks.append([places[t - 1] for t in KEPT])
            print(f"{problem} {row}: moved {np.abs(places[-1] - start).max():.3f}")
        out[f"{problem}_walks"] = np.array(walks)
        assert np.isfinite(out[f"{problem}_walks"]).all()
    np.savez_compressed(Path(__file__).with_name("optimizers.npz"), **out)


if __name__ == "__main__":
    main()
