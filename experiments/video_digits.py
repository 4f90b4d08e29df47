"""The video's network reads MNIST's digits: SGD that slows down, momentum, AdaGrad, RMSProp and Adam side by side.

784-128-64-10, ReLU, softmax, categorical cross-entropy, over five seeds, with a picture of how each optimizer learns,
of what is taken for what, of the worst mistakes and of what the first neurons look for. The video's own test accuracy
is 97.42 %. The rates are the best of three for each, on 10,000 training images held out (one seed, 8 epochs); the test
images are opened after the training.

The best network found without distorted images, and what it was chosen from, on held-out images alone:

    python -m experiments.video_digits --seeds 3 --best
    python -m experiments.video_digits --seeds 3 --search

`experiments.video_clothes` does the same with Fashion-MNIST.
"""

import tyro

import fnnet
from experiments.video import Config, Recipe, Video, main

CANDIDATES = (
    Recipe((800, 800)),
    Recipe((800, 800), (0.2, 0.3)),
    Recipe((800, 800), (0.2, 0.5)),
    Recipe((800, 800), (0.2, 0.5), max_norm=2.0, learning_rate=2e-3),
    Recipe((800, 800), (0.2, 0.3), smoothing=0.1),
)
DIGITS = Video(
    name="video_digits",
    subject="Digits",
    load=fnnet.datasets.mnist,
    class_names=fnnet.datasets.MNIST_CLASSES,
    rates=(0.4, 0.2, 0.02, 2e-3, 4e-3),
    candidates=CANDIDATES,
    best=CANDIDATES[4],
    author="97.42 % test accuracy",
)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__), DIGITS)
