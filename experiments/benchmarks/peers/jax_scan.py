"""jax.grad and optax in the same scan as fnnet's: bytes on the device, epochs compiled, loss and accuracy kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks.peers.jax_loop import adam, classes, logits, start, xor_logits, xor_predict
from experiments.benchmarks.task import Task, Trainer


def epochs_of(optimizer, batch_size: int):
    """A jitted (params, opt_state, x, y, shuffle, first) -> (params, opt_state, (loss, accuracy)), these (epochs,).

    Epoch e goes through the permutation that sorts random bits drawn from fold_in(shuffle, e). The last batch is
    padded with rows of weight 0.
    """

    def loss_fn(params, x, y, w):
        z = logits(params, x.astype(jnp.float32) / 255)
        losses = optax.softmax_cross_entropy_with_integer_labels(z, y)
        return (w * losses).sum() / w.sum(), (w * (z.argmax(-1) == y)).sum()

    @partial(jax.jit, static_argnames="epochs")
    def run(params, opt_state, x, y, shuffle, first, *, epochs: int = 1):
        n = len(x)
        steps = -(-n // batch_size)
        w = (jnp.arange(steps * batch_size) < n).astype(jnp.float32).reshape(steps, batch_size)

        def step(carry, planned):
            (params, opt_state), (rows, w) = carry, planned
            (loss, correct), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, x[rows], y[rows], w)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), (loss * w.sum(), correct)

        def epoch(carry, e):
            rows = jnp.argsort(jax.random.bits(jax.random.fold_in(shuffle, e), (n,)))
            rows = jnp.concatenate([rows, rows[: steps * batch_size - n]]).reshape(steps, batch_size)
            carry, (losses, correct) = jax.lax.scan(step, carry, (rows, w))
            return carry, (losses.sum() / n, correct.sum() / n)

        (params, opt_state), metrics = jax.lax.scan(epoch, (params, opt_state), first + jnp.arange(epochs))
        return params, opt_state, metrics

    return run


def mnist(task: Task) -> Trainer:
    params, optimizer, done = start(task), adam(task), 0
    opt_state, shuffle = optimizer.init(params), jax.random.key(task.seed)
    x, y = jax.device_put((task.x, task.y))
    run = epochs_of(optimizer, task.batch_size)

    def train(epochs: int) -> None:
        nonlocal params, opt_state, done
        params, opt_state, metrics = run(params, opt_state, x, y, shuffle, done, epochs=epochs)
        done += epochs
        jax.block_until_ready(metrics)

    return Trainer(train, lambda x: np.asarray(classes(params, x)))


def xor(task: Task) -> Trainer:
    optimizer = optax.sgd(task.learning_rate)
    params = start(task)
    opt_state = optimizer.init(params)

    def loss_fn(params):
        z = xor_logits(params, task.x)
        correct = ((z > 0) == (task.y > 0.5)).all(-1)
        return optax.sigmoid_binary_cross_entropy(z, task.y).mean(), correct.mean()

    @partial(jax.jit, static_argnums=2)
    def run(params, opt_state, epochs):
        def step(carry, _):
            params, opt_state = carry
            metrics, grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), metrics

        return jax.lax.scan(step, (params, opt_state), None, length=epochs)

    def train(epochs: int) -> None:
        nonlocal params, opt_state
        (params, opt_state), _ = jax.block_until_ready(run(params, opt_state, epochs))

    return Trainer(train, lambda x: xor_predict(params, x))
