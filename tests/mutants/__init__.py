"""Proof of the tests: thousands of small faults, put into the library one at a time; and a test has to detect each.

python -m tests.mutants [--only PATTERN] [--list] [--jobs 2] [--handwritten]

operators.py    the faults: what one expression may become
mutator.py      mutants of a function from its syntax tree, and their swap into the running process
targets.py      which functions are mutated, and which tests must detect it
runner.py       worker processes that run those tests, one mutant after another
handwritten/    mistakes that people make, one by one
equivalent.py   mutants that compute the same as the original, each with the reason
report.py       experiments/results/mutants.md
"""
