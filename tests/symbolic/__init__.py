"""The code that trains, run over symbols, exact rationals and intervals, so that its gradients are proved.

The source of every layer's, loss's and penalty's forward and backward, of every optimizer's update and of every
schedule runs unchanged: while a proof runs, the names `jnp`, `jax`, `lax` and `math` in fnnet's modules mean stand-ins
(`namespace.py`) that compute with exact numbers (`scalars.py`) in NumPy's arrays of objects. `subjects.py` lists what
is proved; a new spec wants a row there.

What is proved: with y = forward(params, x) and any dy, what backward returns is the derivative of sum dy y, entry by
entry, for parameters and x. Optimizers and schedules equal formulas of all gradients and of the step (`formulas.py`),
at every step of a short run.

- *exact*: over symbols, the difference of the two is 0 once multiplied out; over rationals, with derivatives in forward
  mode, both are the same fraction in every entry, at numbers drawn at random. A rational function that is not 0
  everywhere vanishes at hardly any of these.
- *simplified*: over symbols, with exp, log, sqrt or erfc; SymPy differentiates forward, and the difference becomes 0.
- *50 digits*: over mpmath's intervals, with derivatives in forward mode, at numbers drawn at random; the difference
  lies in an interval around 0 that is narrower than 1e-40.

A proof over symbols holds for all numbers that take the same branches as the sample drawn with it; samples have both
signs, so that both sides of a kink are covered. Over rationals and intervals, constants mean their decimal digits (0.1
is a tenth), and a number that was rounded is an error.

Not proved: that forward computes what its name says (the references test that), conventions at kinks and ties (the
tests of each layer), rounding, and what XLA makes of the source.
"""
