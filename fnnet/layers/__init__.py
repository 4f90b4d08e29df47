"""Layers: three pure functions on a small immutable spec.

    layer.init(key, in_shape)              -> (params, out_shape)     shapes without the batch axis
    layer.forward(params, x, *, key=None)  -> (y, residuals)          a key means training
    layer.backward(params, residuals, dy)  -> (dparams, dx)           dx is None where x is integer
    layer.absorb(params, residuals)        -> params                  optional: running statistics

Residuals are what backward needs: a pytree of arrays. A new layer is a spec with these methods in any
file; there is nothing to inherit from and nowhere to register.
"""

from fnnet.layers.activations import (
    Elu,
    Exp,
    Gelu,
    HardSigmoid,
    Identity,
    LeakyRelu,
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from fnnet.layers.attention import Attention, AttentionParams
from fnnet.layers.augmentation import Affine, Cutout, Elastic, Mirror, Noise
from fnnet.layers.composition import Parallel, Residual, Serial
from fnnet.layers.convolution import Conv, ConvParams, ConvTranspose
from fnnet.layers.dense import Dense, DenseParams
from fnnet.layers.dropout import Dropout
from fnnet.layers.embedding import Embedding, EmbeddingParams, Positions, PositionsParams
from fnnet.layers.normalization import BatchNorm, BatchNormParams, GroupNorm, LayerNorm, NormParams, RmsNorm
from fnnet.layers.pooling import GlobalMaxPool, GlobalMeanPool, MaxPool, MeanPool
from fnnet.layers.recurrent import Gru, Lstm, Recurrent, RecurrentParams, Rnn
from fnnet.layers.shapes import Flatten, LastStep, Rescale, Reshape, Standardize, standardize

__all__ = [
    "Affine", "Attention", "AttentionParams", "BatchNorm", "BatchNormParams", "Conv", "ConvParams", "ConvTranspose",
    "Cutout", "Dense", "DenseParams", "Dropout", "Elastic", "Elu", "Embedding", "EmbeddingParams", "Exp", "Flatten",
    "Gelu", "GlobalMaxPool", "GlobalMeanPool", "GroupNorm", "Gru", "HardSigmoid", "Identity", "LastStep", "LayerNorm",
    "LeakyRelu", "Lstm", "MaxPool", "MeanPool", "Mirror", "Noise", "NormParams", "Parallel", "Positions",
    "PositionsParams", "Recurrent", "RecurrentParams", "Relu", "Rescale", "Reshape", "Residual", "RmsNorm", "Rnn",
    "Selu", "Serial", "Sigmoid", "Silu", "Softmax", "Softplus", "Standardize", "Tanh", "standardize",
]  # fmt: skip
