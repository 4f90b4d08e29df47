"""MNIST from nothing to predictions as one compiled program, which is compiled while the files are read."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments.benchmarks import task

TRAIN, TEST = 60_000, 10_000
SIZES = (784, 128, 64, 10)


def main(seed: int, epochs: int, learning_rate: float, batch_size: int = 128, *, own_start: bool = False) -> float:
    """Accuracy on the test images, from the weights that every system starts from or, with `own_start`, its own."""
    with ThreadPoolExecutor(1) as pool:
        files = pool.submit(fnnet.datasets.mnist)
        weights = None if own_start else [fnnet.layers.DenseParams(*w) for w in task.initial_weights(SIZES, seed)]
        program = compiled(weights, epochs, learning_rate, batch_size)
        train, test = files.result()
    answers = program(np.int32(seed), weights, train.x, train.y, test.x)
    return float((np.asarray(answers) == test.y).mean())


def compiled(weights: list | None, epochs: int, learning_rate: float, batch_size: int):
    """The program (seed, weights, x, y, test x) -> classes of test x; nothing but shapes is needed to compile it."""
    model = fnnet.mlp(SIZES, input_shape=(28, 28), scale=1 / 255)
    steps = epochs * -(-TRAIN // batch_size)
    optimizer = fnnet.Adam(fnnet.LinearSchedule(learning_rate, 0.0, steps))

    @jax.jit
    def run(seed, weights, x, y, test_x):
        start, order = jax.random.key(-1 - seed), jax.random.key(seed)
        state = fnnet.init_state(model, optimizer, start)
        if weights is not None:
            given = iter(weights)
            params = tuple(p if p == () else next(given) for p in state.params)
            state = state._replace(params=params)
        state, _ = fnnet.train(
            model, optimizer, state, fnnet.Batch(x, y), epochs=epochs, batch_size=batch_size, shuffle=order
        )
        return fnnet.forward(model, state.params, test_x).argmax(-1)

    images = [jax.ShapeDtypeStruct((n, 28, 28), jnp.uint8) for n in (TRAIN, TEST)]
    seeds, labels = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((TRAIN,), jnp.int32)
    return run.lower(seeds, weights, images[0], labels, images[1]).compile()
