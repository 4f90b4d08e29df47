"""The same network in each system, one file per system, written as the system's own documentation writes it.

    mnist(task) -> Trainer     784-...-10, ReLU, softmax cross-entropy, Adam, shuffled batches
    xor(task)   -> Trainer     2-4-1, sigmoid, binary cross-entropy, full-batch gradient descent

Each file imports its own system only, so that a process that times one of them loads nothing else.
"""
