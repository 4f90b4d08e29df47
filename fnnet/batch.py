"""What a network is fed: rows of inputs with their targets."""

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """Rows with their targets; a batch and a whole data set are the same thing.

    x        (B, ...)  inputs; images are uint8, a `Rescale` in the network makes them numbers
    y        (B,) integer classes, (B, C) probabilities, or (B, O) values: what the loss expects
    weights  (B,) weights of the rows, or None. The value of a batch is sum(w * l) / sum(w).
             Rows of weight 0 are masked (another row stands in for them): whatever stands in them, a NaN
             included, changes nothing. Only a layer that looks across rows counts the stand-in as a row.
    """

    x: Any
    y: Any
    weights: Any = None
