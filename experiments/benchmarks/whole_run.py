"""MNIST from nothing to predictions as one compiled program, which is compiled while the files are read."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

import fnnet

TRAIN, TEST = 60_000, 10_000


def main(seed: int, epochs: int, learning_rate: float, batch_size: int = 128) -> float:
    """Accuracy on the test images."""
    with ThreadPoolExecutor(1) as pool:
        files = pool.submit(fnnet.datasets.mnist)
        program = compiled(epochs, learning_rate, batch_size)
        train, test = files.result()
    return float((np.asarray(program(np.int32(seed), train.x, train.y, test.x)) == test.y).mean())


def compiled(epochs: int, learning_rate: float, batch_size: int):
    """The program (seed, x, y, test x) -> classes of test x; nothing but shapes is needed to compile it."""
    model = fnnet.mlp((784, 128, 64, 10), input_shape=(28, 28), scale=1 / 255)
    steps = epochs * -(-TRAIN // batch_size)
    optimizer = fnnet.Adam(fnnet.LinearSchedule(learning_rate, 0.0, steps))

    @jax.jit
    def run(seed, x, y, test_x):
        key, order = jax.random.split(jax.random.key(seed))
        state = fnnet.init_state(model, optimizer, key)
        state, _ = fnnet.train(
            model, optimizer, state, fnnet.Batch(x, y), epochs=epochs, batch_size=batch_size, order=order
        )
        return fnnet.forward(model, state.params, test_x).argmax(-1)

    images = [jax.ShapeDtypeStruct((n, 28, 28), jnp.uint8) for n in (TRAIN, TEST)]
    seeds, labels = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((TRAIN,), jnp.int32)
    return run.lower(seeds, images[0], labels, images[1]).compile()
