"""One question a script: `python -m experiments.digits --help`."""
