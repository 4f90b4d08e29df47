"""How long is an epoch, beside the same network written with jax.grad and optax in the same kind of scan?

Both go through the same rows in the same order, compute the same loss and accuracy, update with the same
Adam, and end at the same parameters (checked). They run alternately in one process.

    python -m experiments.benchmarks.epoch
"""

import dataclasses
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import fnnet

try:
    import optax
except ImportError:
    raise SystemExit("this benchmark measures against optax: pip install -e '.[benchmarks]'") from None


@dataclasses.dataclass(frozen=True)
class Config:
    """Time fnnet.train_epoch beside jax.grad + optax on MNIST."""

    sizes: tuple[int, ...] = (784, 128, 64, 10)
    """Inputs, hidden layers, outputs."""
    batch_size: int = 128
    """Rows of one batch."""
    alternations: int = 15
    """Epochs of each variant, one after the other."""
    learning_rate: float = 1e-3
    """Of Adam, in both."""
    results: Path = Path("experiments/results/epoch.json")
    """Where the figures are written."""


def peer_epoch(learning_rate: float, batch_size: int) -> Any:
    """The same epoch as autodiff users write it: parameters in dicts, jax.value_and_grad, optax.adam."""
    optimizer = optax.adam(learning_rate)

    def logits(params: Any, x: Any) -> Any:
        h = x.reshape(x.shape[0], -1).astype(jnp.float32) / 255
        for layer in params[:-1]:
            h = jax.nn.relu(h @ layer["w"] + layer["b"])
        return h @ params[-1]["w"] + params[-1]["b"]

    def loss(params: Any, x: Any, y: Any, w: Any) -> Any:
        z = logits(params, x)
        losses = optax.softmax_cross_entropy_with_integer_labels(z, y)
        return (w * losses).sum() / w.sum(), (w * (z.argmax(-1) == y)).sum()

    def step(carry: Any, planned: Any, data: Any) -> Any:
        params, opt_state = carry
        rows, w = planned
        (value, correct), grads = jax.value_and_grad(loss, has_aux=True)(params, data.x[rows], data.y[rows], w)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), (value * w.sum(), correct)

    @jax.jit
    def epoch(params: Any, opt_state: Any, data: fnnet.Batch, key: Any) -> Any:
        n = data.x.shape[0]
        steps = -(-n // batch_size)
        rows = jnp.argsort(jax.random.bits(key, (n,)))
        rows = jnp.concatenate([rows, rows[: steps * batch_size - n]]).reshape(steps, batch_size)
        w = (jnp.arange(steps * batch_size) < n).astype(jnp.float32).reshape(steps, batch_size)
        carry, (losses, correct) = jax.lax.scan(lambda c, p: step(c, p, data), (params, opt_state), (rows, w))
        return *carry, losses.sum() / n, correct.sum() / n

    return optimizer, epoch


def timed(f: Any, *args: Any) -> tuple[float, Any]:
    """Seconds until the result is there, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(f(*args))
    return time.perf_counter() - start, result


def check_same_network(params: Any, peer_params: Any, metrics: fnnet.Metrics, peer_metrics: tuple) -> None:
    """Both trained the same thing. Adam divides by small roots, so rarely moved weights drift apart in float32."""
    np.testing.assert_allclose([metrics.loss, metrics.accuracy], peer_metrics, rtol=5e-3)
    theirs = [q for p in peer_params for q in (p["w"], p["b"])]
    apart = [float(jnp.median(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(params), theirs, strict=True)]
    assert max(apart) < 1e-3, f"the two variants do not train the same network: parameters differ by {apart}"


def main(config: Config) -> dict:
    train, _ = jax.device_put(fnnet.datasets.mnist())
    model = fnnet.mlp(config.sizes, input_shape=(28, 28), scale=1 / 255)
    optimizer = fnnet.Adam(config.learning_rate)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    order = jax.random.key(1)
    peer_optimizer, peer = peer_epoch(config.learning_rate, config.batch_size)
    peer_params = [{"w": p.w, "b": p.b} for p in state.params if p != ()]
    peer_state = peer_optimizer.init(peer_params)

    def ours() -> Any:
        return fnnet.train_epoch(model, optimizer, state, train, batch_size=config.batch_size, order=order)

    def theirs() -> Any:
        return peer(peer_params, peer_state, train, jax.random.fold_in(order, 0))

    first_ours, (end, metrics) = timed(ours)
    first_theirs, (peer_end, _, peer_loss, peer_accuracy) = timed(theirs)
    check_same_network(end.params, peer_end, metrics, (peer_loss, peer_accuracy))
    pairs = [(timed(ours)[0], timed(theirs)[0]) for _ in range(config.alternations)]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    figures = {
        "command": "python -m experiments.benchmarks.epoch",
        "config": dataclasses.asdict(config) | {"results": str(config.results)},
        "hardware": f"{jax.default_backend()}, {platform.machine()}, {os.cpu_count()} cores",
        "versions": {"jax": jax.__version__, "optax": optax.__version__, "python": platform.python_version()},
        "fnnet_seconds": medians[0],
        "grad_optax_seconds": medians[1],
        "ratio": statistics.median(a / b for a, b in pairs),
        "fnnet_first_call_seconds": first_ours,
        "grad_optax_first_call_seconds": first_theirs,
    }
    config.results.parent.mkdir(parents=True, exist_ok=True)
    config.results.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"fnnet             {medians[0]:.4f} s an epoch, first call {first_ours:.2f} s")
    print(f"jax.grad + optax  {medians[1]:.4f} s an epoch, first call {first_theirs:.2f} s")
    print(f"ratio             {figures['ratio']:.3f} (median of {config.alternations} alternations)")
    return figures


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
