"""Two optimizers, each for some of the parameters."""

from typing import Any

import jax

from fnnet._contracts import select_with, update_with
from fnnet._spec import spec, static
from fnnet.protocols import Key, Optimizer, OptState, Params, Selector, check_names, is_spec_of, parameter_name, why_not


@spec
class Matrices:
    """Selects the weights (parameters named `w`) of exactly two axes.

    kernels  weights of more axes as well: those of convolutions, which Muon takes as matrices of (h w I, O)

    The tables of Embedding and Positions and the last layer's weight are matrices, too. To leave these to the other
    optimizer, as Muon's authors do in language models, write a selector: see fnnet.Selector.
    """

    kernels: bool = static(default=False)

    def selects(self, path: jax.tree_util.KeyPath, parameter: jax.Array) -> bool:
        has_axes = parameter.ndim >= 2 if self.kernels else parameter.ndim == 2
        return parameter_name(path) == "w" and has_axes


@spec
class Partition:
    """The parameters that `select` selects are moved by the optimizer `chosen`, all others by the optimizer `rest`.

        Partition(Matrices(), Muon(0.02), Adam(1e-3))

    Each of the two sees None for the parameters of the other, as every optimizer does for integers: what it does over
    all arrays together, such as ClipByGlobalNorm, it does over its own. What is to see all of them stands around it:

        Chain((ClipByGlobalNorm(1.0), Partition(Matrices(), Muon(0.02), Adam(1e-3)), Average(0.999)))

    `chosen` draws from fold_in(key, 0), `rest` from fold_in(key, 1). The state is the tuple of their states. PyTorch's
    parameter groups and optax.partition take any number of parts; here, `rest` may itself be a Partition.
    """

    select: Selector
    chosen: Optimizer
    rest: Optimizer

    def check(self) -> None:
        if not is_spec_of(self.select, Selector):
            raise TypeError(
                f"Partition: expected select to be a selector such as Matrices(), {why_not(self.select, Selector)}"
            )
        for name in ("chosen", "rest"):
            part = getattr(self, name)
            if not is_spec_of(part, Optimizer):
                raise TypeError(
                    f"Partition: expected {name} to be an optimizer such as Adam(), {why_not(part, Optimizer)}"
                )

    def init(self, params: Params) -> tuple[OptState, OptState]:
        """Raises ValueError where nothing is selected, or where one part finds no parameter of the names it acts on."""
        chosen, rest = _split(select_with(self.select, params), params)
        leaves = jax.tree_util.tree_leaves_with_path(params)
        if leaves and not jax.tree.leaves(chosen):
            listed = ", ".join(f"params{jax.tree_util.keystr(path)} of shape {p.shape}" for path, p in leaves[:6])
            more = f" and {len(leaves) - 6} more" if len(leaves) > 6 else ""
            raise ValueError(
                f"Partition: {self.select!r} selects none of {listed}{more}; select others (Matrices(kernels=True) "
                f"takes the kernels of convolutions), or write {type(self.rest).__name__} alone"
            )
        check_names("Partition", self.chosen, chosen)
        check_names("Partition", self.rest, rest)
        return self.chosen.init(chosen), self.rest.init(rest)

    def update(
        self, grads: Params, states: tuple[OptState, OptState], params: Params, *, key: Key | None = None
    ) -> tuple[Params, tuple[OptState, OptState]]:
        is_chosen = select_with(self.select, params)
        (g, g_rest), (theta, theta_rest) = _split(is_chosen, grads), _split(is_chosen, params)
        keys = (None, None) if key is None else [jax.random.fold_in(key, i) for i in range(2)]
        u, state = update_with(self.chosen, g, states[0], theta, keys[0])
        u_rest, state_rest = update_with(self.rest, g_rest, states[1], theta_rest, keys[1])
        return jax.tree.map(lambda one, a, b: a if one else b, is_chosen, u, u_rest), (state, state_rest)


def _split(is_chosen: Any, tree: Params) -> tuple[Params, Params]:
    """The tree twice, with None in place of what is in the other: what is chosen, and the rest."""
    chosen = jax.tree.map(lambda one, a: a if one else None, is_chosen, tree)
    return chosen, jax.tree.map(lambda one, a: None if one else a, is_chosen, tree)
