"""Optimizers: from gradients to updates. Each is a gradient transformation, and these make chains.

    optimizer.init(params)                               -> opt_state
    optimizer.update(grads, opt_state, params, key=None) -> (updates, opt_state)

Updates are *added* to the parameters, so they carry the minus sign of descent. Symbols in the docstrings:
theta the parameters, g their gradient, eta the learning rate, t the update's number from 1. Squares, roots and
quotients are taken entry by entry. A *weight* is a parameter named `w`.

    sgd              Sgd, Lion                            one average of the gradient, or none
    adaptive         AdaGrad, RmsProp, AdaDelta           steps measured in the gradient's own size
    adam             Adam, AdamW, AmsGrad, Nadam, AdaMax  both
                     ScheduleFreeAdam                     an average of the parameters in place of a schedule
    muon             Muon                                 a momentum whose singular values are all about 1
    transformations  ClipByValue, ClipByNorm, ClipByGlobalNorm, GradientNoise, WeightDecay, MaxNorm
    average          Average, averaged                    a running mean of the parameters
    lookahead        Lookahead                            an optimizer, every few steps taken back half the way
    chain            Chain                                transformations in sequence
    partition        Partition, Matrices                  two optimizers, each for some of the parameters
"""

from fnnet.optimizers.adam import Adam, AdaMax, AdamState, AdamW, AmsGrad, Nadam, ScheduleFreeAdam
from fnnet.optimizers.adaptive import AdaDelta, AdaGrad, RmsProp
from fnnet.optimizers.average import Average, averaged
from fnnet.optimizers.chain import Chain
from fnnet.optimizers.lookahead import Lookahead
from fnnet.optimizers.muon import Muon
from fnnet.optimizers.partition import Matrices, Partition
from fnnet.optimizers.sgd import Lion, Sgd
from fnnet.optimizers.transformations import (
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByValue,
    GradientNoise,
    MaxNorm,
    WeightDecay,
)

__all__ = [
    "AdaDelta",
    "AdaGrad",
    "AdaMax",
    "Adam",
    "AdamState",
    "AdamW",
    "AmsGrad",
    "Average",
    "Chain",
    "ClipByGlobalNorm",
    "ClipByNorm",
    "ClipByValue",
    "GradientNoise",
    "Lion",
    "Lookahead",
    "Matrices",
    "MaxNorm",
    "Muon",
    "Nadam",
    "Partition",
    "RmsProp",
    "ScheduleFreeAdam",
    "Sgd",
    "WeightDecay",
    "averaged",
]
