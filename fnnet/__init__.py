"""fnnet: neural networks as pure functions in JAX, with every gradient derived by hand and proved."""

from fnnet import datasets, initializers, layers, losses, metrics, optimizers, penalties, schedules
from fnnet.batch import Batch
from fnnet.datasets import DataError
from fnnet.fitting import fit
from fnnet.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Normal,
    Orthogonal,
    Uniform,
    Zeros,
)
from fnnet.layers import (
    Dense,
    Dropout,
    Elu,
    Exp,
    Flatten,
    Gelu,
    HardSigmoid,
    Identity,
    LeakyRelu,
    Relu,
    Rescale,
    Residual,
    Selu,
    Serial,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from fnnet.losses import (
    AbsoluteError,
    Huber,
    Poisson,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)
from fnnet.model import Model, Pass, backprop, backward, forward, init, loss, mlp, predict
from fnnet.optimizers import Adam, Chain, Sgd
from fnnet.penalties import L1, L2
from fnnet.schedules import ConstantSchedule, CosineDecay, ExponentialDecay, InverseTimeDecay, LinearSchedule
from fnnet.spec import Number, Static, at_step, spec, static
from fnnet.training import (
    History,
    Metrics,
    TrainState,
    evaluate,
    init_state,
    train,
    train_epoch,
    train_step,
)
