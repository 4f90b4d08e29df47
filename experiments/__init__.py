"""One question per script: `python -m experiments.digits --help`."""
