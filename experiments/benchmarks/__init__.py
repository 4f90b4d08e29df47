"""Measurements: variants in turn within one process, medians, compilation timed separately."""
