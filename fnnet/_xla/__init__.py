"""Code that exists only because of the compiler: programs rewritten so that XLA compiles or runs them fast.

    threefry             JAX's random bits written out: the same numbers, compiled faster
    shuffling            a random permutation as a radix sort: the same permutation, several times as fast
    one_row              random tensors drawn as one row, which compiles faster
    in_place             updates ordered so that weights are overwritten in place
    compile_once         programs that run once, compiled without optimizing
    products             matrix products whose factors are rounded to a shorter dtype
    materialized         an array that is computed before anything reads it
    channel_sums         sums over everything but the channels, as a product with ones
    interleaving         what windows give and take, without scattering
    convolutions         which form computes a convolution and its gradients, by shape:
    canonical            as one convolution that XLA knows to be fast
    banded               as matrix products, where there are few channels
    convolution_options  an option of the compiler that large convolutions want

Each says what it works around, what it gains, and when it can go; `tests/_xla` compares each with the plain version,
and trains with all of them replaced.
"""
