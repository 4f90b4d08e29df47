"""Networks that people build first, from the parts that they would build them from, each printed as its architecture.

    mlp((784, 128, 64, 10))                                   dense layers
    cnn((28, 28), (16, 32), (128, 10), kernel=(5, 5))         convolutions, then dense layers
    gpt(65, layers=4, heads=4, width=128, context=64)         a transformer that predicts the next token

Each returns a `Model`. What none of them says, a `Model` of a `Serial` of one's own does.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from fnnet.initializers import HeNormal, Normal, Zeros
from fnnet.layers import (
    Attention,
    Conv,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gelu,
    Identity,
    LayerNorm,
    MaxPool,
    Positions,
    Relu,
    Rescale,
    Reshape,
    Residual,
    Selu,
    Serial,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
)
from fnnet.losses import SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from fnnet.model import Model
from fnnet.protocols import Initializer, Layer, Loss, Number, Penalty, Shape, is_spec_of, why_not

__all__ = ["cnn", "gpt", "mlp"]


def mlp(
    sizes: Sequence[int],
    *,
    activation: Layer | Sequence[Layer] = Relu(),  # noqa: B008  specs are immutable
    loss: Loss = SoftmaxCrossEntropy(),  # noqa: B008
    penalty: Penalty | None = None,
    output: Layer | None = None,
    dropout: Number = None,
    input_dropout: Number = None,
    weights: Initializer = HeNormal(),  # noqa: B008
    biases: Initializer | None = Zeros(),  # noqa: B008
    products: str | None = None,
    input_shape: Sequence[int] | None = None,
    scale: Number = None,
    preprocessing: Layer | Sequence[Layer] | None = None,
) -> Model:
    """A multi-layer perceptron as a Model: `mlp((784, 128, 64, 10))` has two hidden layers.

    sizes        inputs, hidden layers, outputs
    activation   of the hidden layers; a tuple gives one per hidden layer
    output       activation of the last layer (None: none, since losses take logits)
    dropout      rate, after every hidden activation
    input_dropout   rate, on the inputs (0.2 beside 0.5 for hidden layers is Srivastava and others' 2014 choice)
    weights, biases   initializers of every Dense
    products     of every Dense: "bfloat16" rounds what is multiplied, which is faster on many machines
    input_shape  of one row if not (sizes[0],): `(28, 28)` puts a Flatten first
    scale        puts a Rescale in front: 1 / 255 for pixels
    preprocessing   a layer or a tuple of layers, put before everything else; it sees rows of input_shape

    Raises ValueError where sizes, activations and input_shape do not fit together, TypeError for what is not a layer.
    """
    sizes = _counts("sizes", sizes, "(784, 128, 10)")
    input_shape = sizes[:1] if input_shape is None else _counts("input_shape", input_shape, "(28, 28)")
    hidden = len(sizes) - 2
    if hidden < 0:
        raise ValueError(f"mlp: expected sizes (inputs, ..., outputs), two or more, got {sizes}")
    if math.prod(input_shape) != sizes[0]:
        raise ValueError(f"mlp: expected sizes (inputs, ..., outputs) for input_shape {input_shape}, got {sizes}")
    activations = _layers("activation", activation)
    activations = activations if isinstance(activation, Sequence) else activations * hidden
    if len(activations) != hidden:
        raise ValueError(f"mlp: expected {hidden} activations for {hidden} hidden layers, got {len(activations)}")
    layers = [] if preprocessing is None else [*_layers("preprocessing", preprocessing)]
    layers += [] if len(input_shape) == 1 else [Flatten()]
    layers += [] if scale is None else [Rescale(scale)]
    layers += [] if input_dropout is None else [Dropout(input_dropout)]
    for size, f in zip(sizes[1:-1], activations, strict=True):
        layers += [Dense(size, weights, biases, products), f, *([] if dropout is None else [Dropout(dropout)])]
    layers += [Dense(sizes[-1], weights, biases, products), *([] if output is None else _layers("output", output))]
    if (type(loss), type(output)) in ((SoftmaxCrossEntropy, Softmax), (SigmoidBinaryCrossEntropy, Sigmoid)):
        raise ValueError(f"mlp: {loss!r} takes logits and has a {output!r} of its own; leave output out")
    return Model(Serial(tuple(layers)), loss, input_shape, penalty)


_INCREASING = (Identity, Relu, Selu, Sigmoid, Softplus, Tanh)
"""Activations of which max(f(a), f(b)) = f(max(a, b))."""


def cnn(
    input_shape: Sequence[int],
    channels: Sequence[int | Sequence[int]],
    sizes: Sequence[int],
    *,
    kernel: Sequence[int] = (3, 3),
    padding: str = "same",
    pool: Layer | None = MaxPool((2, 2)),  # noqa: B008  specs are immutable
    normalization: Layer | None = None,
    activation: Layer = Relu(),  # noqa: B008
    loss: Loss = SoftmaxCrossEntropy(),  # noqa: B008
    penalty: Penalty | None = None,
    dropout: Number = None,
    weights: Initializer = HeNormal(),  # noqa: B008
    biases: Initializer | None = Zeros(),  # noqa: B008
    scale: Number = None,
    preprocessing: Layer | Sequence[Layer] | None = None,
) -> Model:
    """A convolutional network as a Model: `cnn((28, 28), (16, 32), (128, 10), kernel=(5, 5))` is LeNet-like.

    input_shape   of one row: (H, W) for gray images, (H, W, C) for others
    channels      one entry per block, which ends in a pool: the features of its convolution, or of several: with
                  ((32, 32), 64) two convolutions of 32 features come before the first pool
    sizes         of the dense layers after the last block, the outputs last
    kernel, padding   of every `Conv`
    pool          after every block (None: none)
    normalization after every convolution, before the activation: `BatchNorm()`, say; the convolutions have no biases
                  then, since the shift does what they would
    activation    after every convolution and every hidden dense layer; after a MaxPool where the activation is
                  Identity, Relu, Selu, Sigmoid, Softplus or Tanh, which commute with a maximum: the same numbers for
                  less work
    dropout       rate, after every hidden dense layer
    weights, biases   initializers of every Conv and Dense
    scale         puts a Rescale in front: 1 / 255 for pixels
    preprocessing a layer or a tuple of layers, put before everything else; it sees rows of input_shape

    Raises ValueError for settings that do not fit together, TypeError for what is no layer.
    """
    shape, sizes = _counts("input_shape", input_shape, "(28, 28)", "cnn"), _counts("sizes", sizes, "(128, 10)", "cnn")
    if len(shape) not in (2, 3):
        raise ValueError(f"cnn: expected input_shape (H, W) or (H, W, C), got {shape}")
    (f,) = _layers("activation", activation, "cnn")
    layers = [] if preprocessing is None else [*_layers("preprocessing", preprocessing, "cnn")]
    layers += [] if scale is None else [Rescale(scale)]
    layers += [Reshape((*shape, 1))] if len(shape) == 2 else []
    normalized = [] if normalization is None else [*_layers("normalization", normalization, "cnn")]
    pools = [] if pool is None else [*_layers("pool", pool, "cnn")]
    conv_biases = biases if normalization is None else None
    for block in channels:
        counts: Any = (block,) if isinstance(block, int | np.integer) else block
        for features in _counts("channels", counts, "(16, 32)", "cnn"):
            layers += [Conv(features, tuple(kernel), padding=padding, weights=weights, biases=conv_biases)]
            layers += [*normalized, f]
        is_increasing = isinstance(pool, MaxPool) and type(f) in _INCREASING
        layers = [*layers[:-1], *pools, f] if is_increasing else [*layers, *pools]
    layers += [Flatten()]
    for size in sizes[:-1]:
        layers += [Dense(size, weights, biases), f, *([] if dropout is None else [Dropout(dropout)])]
    return Model(Serial((*layers, Dense(sizes[-1], weights, biases))), loss, shape, penalty)


def gpt(
    vocabulary: int,
    *,
    layers: int,
    heads: int,
    width: int,
    context: int,
    rotary: bool = False,
    dropout: Number = None,
    activation: Layer = Gelu(),  # noqa: B008  specs are immutable
    normalization: Layer = LayerNorm(),  # noqa: B008
    biases: Initializer | None = Zeros(),  # noqa: B008
    loss: Loss = SoftmaxCrossEntropy(no_target=-1),  # noqa: B008
    penalty: Penalty | None = None,
    products: str | None = None,
) -> Model:
    """A transformer that predicts the next token, as `gpt(65, layers=4, heads=4, width=128, context=64)`.

    vocabulary  V, the number of tokens
    layers      blocks of two residual branches: x + attention(norm(x)), then x + mlp(norm(x)), whose hidden layer has
                4 width features
    heads       of every attention; width is a multiple of it
    width       features of every token
    context     T, the steps of a row; rows are (T,) integers, targets (T,) the tokens that follow, -1 for none
    rotary      rotary positions within attention instead of learned ones that are added
    dropout     rate, after the embedding and at the end of every branch
    biases      of every Dense and Attention (None: none)
    products    of every Dense and Attention: "bfloat16" rounds what is multiplied, which is faster on many machines

    Weights start at N(0, 0.02^2), those at the end of a branch at 1 / sqrt(2 layers) of that, so that the sum of all
    branches starts at the size of one. Source: Radford and others 2019, Language models are unsupervised multitask
    learners. Raises ValueError for counts that do not fit, TypeError for what is no layer.
    """
    counts = {"vocabulary": vocabulary, "layers": layers, "heads": heads, "width": width, "context": context}
    for name, count in counts.items():
        _counts(name, (count,), f"{name}=4", "gpt")
    (f,), (norm,) = _layers("activation", activation, "gpt"), _layers("normalization", normalization, "gpt")
    start, last = Normal(0.02), Normal(0.02 / math.sqrt(2 * layers))
    dropped = () if dropout is None else (Dropout(dropout),)
    attention = Attention(heads, rotary=rotary, weights=start, biases=biases, out_weights=last, products=products)
    hidden = (Dense(4 * width, start, biases, products), f, Dense(width, last, biases, products))
    block = (Residual(Serial((norm, attention, *dropped))), Residual(Serial((norm, *hidden, *dropped))))
    positions = () if rotary else (Positions(start),)
    tokens = (Embedding(vocabulary, width, start), *positions, *dropped)
    logits = Dense(vocabulary, start, biases, products)
    return Model(Serial((*tokens, *block * layers, norm, logits)), loss, (context,), penalty)


def _counts(name: str, values: Sequence[int], example: str, caller: str = "mlp") -> Shape:
    """Sizes as a tuple of ints above 0, or ValueError."""
    counts = tuple(values) if isinstance(values, Sequence | np.ndarray) else ()
    if not counts or not all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in counts):
        raise ValueError(f"{caller}: expected {name} to be ints above 0 such as {example}, got {values!r}")
    return tuple(map(int, counts))


def _layers(name: str, value: Layer | Sequence[Layer], caller: str = "mlp") -> tuple[Layer, ...]:
    """One layer or several, as a tuple, or TypeError."""
    layers: tuple[Any, ...] = tuple(value) if isinstance(value, tuple | list) else (value,)
    for layer in layers:
        if not is_spec_of(layer, Layer):
            raise TypeError(f"{caller}: expected {name} to be a layer such as Relu(), {why_not(layer, Layer)}")
    return layers
