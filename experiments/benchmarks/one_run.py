"""One system, once, in this process: train on MNIST and print its peak memory in MiB and the test accuracy.

python -m experiments.benchmarks.one_run "PyTorch, in memory" 0 3 0.003
"""

import resource
import sys

from experiments.benchmarks import systems, task

OWN_START = f"{systems.OURS}, weights drawn in the program"
"""fnnet as a user would call it; every other system, and fnnet in its own row, starts from weights that NumPy drew."""


def main(name: str, seed: int, epochs: int, learning_rate: float) -> None:
    if name in (systems.OURS, OWN_START):
        from experiments.benchmarks import whole_run

        accuracy = whole_run.main(seed, epochs, learning_rate, own_start=name == OWN_START)
    else:
        x, y, test_x, test_y = task.mnist()
        steps = None if name == systems.SKLEARN else epochs * -(-len(x) // 128)
        weights = task.initial_weights((784, 128, 64, 10), seed)
        trainer = systems.mnist(name)(task.Task(weights, x, y, 128, learning_rate, steps, seed))
        trainer.train(epochs)
        accuracy = (trainer.predict(test_x) == test_y).mean()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, accuracy)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4]))
