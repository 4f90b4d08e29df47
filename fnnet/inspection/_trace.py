"""The trace of one pass: every number of it, by layer name.

t = fnnet.trace(model, params, x, y)
t.layers["1 Relu"].dy        # the gradient that arrives at the ReLU's output
print(t)                     # the chain rule with the numbers; for a larger network, a table
"""

from typing import Any

import jax
from jaxtyping import ArrayLike, Num, PRNGKeyArray

from fnnet.inspection._html import html_table
from fnnet.inspection.recording import Recording, record
from fnnet.model import Model
from fnnet.protocols import Batch, Optimizer, Params
from fnnet.training.state import trainable


class Trace(Recording):
    """A `Recording` that prints itself: the chain rule with the numbers of a small network, a table of a larger one.

    The text is imported when it is asked for: most programs never print a trace.
    """

    def __str__(self) -> str:
        from fnnet.inspection.trace_text import explain, is_small, table

        return explain(self) if is_small(self) else table(self)

    def __repr__(self) -> str:
        return f"Trace({len(self.batch.x)} rows through {', '.join(self.layers) or 'no layers'})"

    def _repr_html_(self) -> str:
        from fnnet.inspection.trace_text import COLUMNS, summary, table_rows

        return html_table(summary(self), COLUMNS, table_rows(self))


def trace(
    model: Model,
    params: Params,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    weights: Num[ArrayLike, "B"] | None = None,
    key: PRNGKeyArray | None = None,
    optimizer: Optimizer | None = None,
    opt_state: Any = None,
) -> Trace:
    """Forward, loss and backward, with everything that went through every layer. Pure; jit it if you like.

    x, y, weights, key   as in `backward`: (B, ...) inputs, targets, (B,) weights; a key means training
    optimizer   also gives `updates` and `update_ratios`; its noise, if it has some, is drawn from fold_in(key, 0)
    opt_state   of the optimizer at these parameters: `state.opt_state`. Only one without state needs none

    Outside of jit, `result` is what `backprop` returns to the last bit. `Serial` and `Residual` are opened, any other
    layer made of layers is shown as one. Memory: every activation and cotangent of the batch.

    Raises what `backprop` raises; ValueError for schedules, in the optimizer too, which need `fnnet.at_step`, and for
    an optimizer whose state is missing.
    """
    if optimizer is not None and opt_state is None:
        opt_state = _nothing_kept(optimizer, params)
    return Trace(*record(model, params, Batch(x, y, weights), key, optimizer, opt_state))


def _nothing_kept(optimizer: Optimizer, params: Params) -> Any:
    """The state of an optimizer that keeps nothing from step to step. Raises ValueError for any other."""
    opt_state = jax.eval_shape(optimizer.init, trainable(params))
    if jax.tree.leaves(opt_state):
        raise ValueError(
            f"trace: expected opt_state, because the updates of {type(optimizer).__name__} depend on the steps before; "
            f"pass opt_state=state.opt_state, or opt_state=optimizer.init(params) to see the first step"
        )
    return opt_state
