"""Code that exists only because of the compiler: programs rewritten so that XLA compiles or runs them fast.

    threefry        JAX's random bits written out: the same numbers, compiled in a third of the time
    shuffling       a random permutation as a radix sort: the same permutation, several times as fast
    one_row         random tensors drawn as one row: half of the compile time
    in_place        updates ordered so that weights are overwritten in place
    compile_once    programs that run once, compiled without optimizing

Each says what it works around, what it gains, and when it can go; `tests/_xla` compares each with the plain version,
and trains with all of them replaced.
"""
