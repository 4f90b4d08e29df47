"""A layer of your own, in one file: derive it, check it, train it. Nothing inside fnnet is touched.

The layer is PReLU, a ReLU whose slope on the left is learned, one a per feature. Source: He, Zhang, Ren, Sun
2015, Delving deep into rectifiers, arXiv 1502.01852.
"""

import dataclasses

import jax
import jax.numpy as jnp

import fnnet
from experiments import command_line


@fnnet.spec
class PRelu:
    """f(x) = x where x > 0, else a x, with a learned: one per feature, all starting at `slope`."""

    slope: fnnet.Number = 0.25

    def init(self, key, in_shape):
        """(a (I,), in_shape)."""
        return jnp.full(in_shape[-1:], self.slope), in_shape

    def forward(self, a, x, *, key=None):
        """y_bi = x_bi where x_bi > 0, else a_i x_bi. Keeps x."""
        return jnp.where(x > 0, x, a[None] * x), x

    def backward(self, a, x, dy):
        """Where x_bi <= 0, dy_bi/da_i = x_bi and dy_bi/dx_bi = a_i; elsewhere 0 and 1. Rows add up in da.

        da_i  = sum_b dy_bi x_bi [x_bi <= 0]
        dx_bi = dy_bi (1 where x_bi > 0, else a_i)
        """
        da = jnp.where(x > 0, 0, dy * x).sum(0)
        dx = jnp.where(x > 0, dy, a[None] * dy)
        return da, dx


@dataclasses.dataclass(frozen=True)
class Config:
    """Check a layer of your own and train it on the embedded digits."""

    epochs: int = 20
    """How often every training digit is seen."""
    hidden: int = 64
    """Neurons in the hidden layer."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    seed: int = 0
    """Seed of parameters and shuffling."""
    progress: bool = True
    """Show a bar."""


def main(config: Config) -> float:
    init_key, shuffle, check_key = jax.random.split(jax.random.key(config.seed), 3)
    print(fnnet.check_gradients(PRelu(), in_shape=(5,), key=check_key).raise_if_failed())
    train, test = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    model = fnnet.mlp((64, config.hidden, 10), activation=PRelu(), input_shape=(8, 8), scale=1 / 16)
    optimizer = fnnet.Adam(config.learning_rate)
    state = fnnet.init_state(model, optimizer, init_key)
    state, _ = fnnet.fit(
        model, optimizer, state, train, epochs=config.epochs, batch_size=32, shuffle=shuffle, progress=config.progress
    )
    slopes = state.params[3]  # of Flatten, Rescale, Dense, PRelu, Dense
    accuracy = float(fnnet.evaluate(model, state.params, test).accuracy)
    print(f"test accuracy {accuracy:.2%}; slopes, 0.25 at the start: {slopes.min():.2f} to {slopes.max():.2f}")
    return accuracy


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
