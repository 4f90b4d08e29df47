"""MNIST and Fashion-MNIST: what is published where, and what it must hash to."""

from fnnet.datasets.sources import Source, load
from fnnet.protocols import Batch

MNIST_CLASSES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

MNIST = Source(
    name="mnist",
    torchvision="MNIST",
    keras="mnist.npz",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    torchvision="FashionMNIST",
    keras="fashion-mnist",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        # The authors' own bucket. Its website endpoint has no https; the hash is what protects.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)


def mnist() -> tuple[Batch, Batch]:
    """Return the MNIST digits: `train, test = fnnet.datasets.mnist()`.

    train  Batch(x=(60000, 28, 28) uint8, y=(60000,) int32 in 0..9), read-only
    test   Batch of 10,000 rows

    Each of the four files is looked for in `FNNET_DATA`, in `data/` under the current folder, in
    Keras' cache and in fnnet's own, as `sources.candidates` lists them, and downloaded into fnnet's
    cache if it is nowhere. Its SHA-256 is checked wherever it came from. Raises `DataError` if a file
    that was found is damaged, or if none was found and no mirror answered.

    Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998.
    """
    return load(MNIST)


def fashion_mnist() -> tuple[Batch, Batch]:
    """Return the Fashion-MNIST clothes; shapes, places and errors as in `mnist`.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
    Machine Learning Algorithms", arXiv:1708.07747, 2017, MIT licence.
    """
    return load(FASHION_MNIST)
