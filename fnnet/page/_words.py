"""What every layer and loss of a page does, forward and backward, in a sentence each; what is not here is refused."""

from fnnet.layers import (
    Conv,
    Dense,
    Elu,
    Exp,
    Flatten,
    Gelu,
    GlobalMaxPool,
    GlobalMeanPool,
    HardSigmoid,
    Identity,
    LeakyRelu,
    MaxPool,
    MeanPool,
    Relu,
    Rescale,
    Reshape,
    Residual,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Standardize,
    Tanh,
)
from fnnet.losses import SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError

_ACTIVATION = (
    "One function, applied to every number.",
    "Every gradient is multiplied by the slope of the function at its place.",
)
_LARGEST = "Only the largest entry moved the output, so it gets the whole gradient."
_MEAN = "Every entry of a window moves the mean equally, so they share its gradient."
_MOVED = "The same gradients, back in their places."

LAYERS: dict[type, tuple[str, str]] = {
    Dense: (
        "Each neuron adds up all its inputs, each times a weight, and a bias.",
        "The gradient of a weight is its input times its neuron's gradient. "
        "Each input collects the gradients of all neurons, through the same weights as forward.",
    ),
    Conv: (
        "The same few weights at every place: each output sees only the inputs under its window.",
        "A weight is used at every place, so its gradient is a sum over places. "
        "Each input collects from all windows that saw it.",
    ),
    Relu: (
        "What is below 0 becomes 0, the rest stays as it is.",
        "Where the input was above 0 the gradient passes unchanged. Elsewhere it is 0: "
        "changing that input a little would change nothing, so its neuron learns nothing from this example.",
    ),
    MaxPool: ("The largest number of each window.", _LARGEST),
    GlobalMaxPool: ("The largest number of each channel.", _LARGEST),
    MeanPool: ("The mean over each window.", _MEAN),
    GlobalMeanPool: ("The mean over each channel.", _MEAN),
    Flatten: ("The same numbers in one row.", _MOVED),
    Reshape: ("The same numbers in another shape.", _MOVED),
    Rescale: ("Every number times one factor.", "Every gradient times the same factor."),
    Standardize: ("Inputs of any scale become numbers around 0.", "Every gradient divided by the same deviation."),
    Residual: (
        "What went in is added to what came out.",
        "The input reaches the output along two paths, so its gradient is a sum of two.",
    ),
    Softmax: (
        "Numbers become probabilities, which share one denominator.",
        "Raising one probability lowers the others, so the gradients of a row mix.",
    ),
} | dict.fromkeys((Elu, Exp, Gelu, HardSigmoid, Identity, LeakyRelu, Selu, Sigmoid, Silu, Softplus, Tanh), _ACTIVATION)

_STARTS = "The backward pass starts here: the gradient of a score is its probability minus what it should have been."

LOSSES: dict[type, tuple[str, str]] = {
    SoftmaxCrossEntropy: (
        "Scores become probabilities p. The loss is -log of the probability that the right answer got.",
        _STARTS,
    ),
    SigmoidBinaryCrossEntropy: (
        "A score becomes a probability p. The loss is -log of the probability that was given to the truth.",
        _STARTS,
    ),
    SquaredError: (
        "The squared distance from the right values.",
        "The backward pass starts here: the gradient of a value is twice its distance from the right one.",
    ),
}
