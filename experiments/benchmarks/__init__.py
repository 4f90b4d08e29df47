"""Measurements: two variants alternately in one process, medians, compile time apart."""
