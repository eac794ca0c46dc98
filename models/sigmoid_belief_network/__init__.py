"""Sigmoid belief networks on handwritten digits, one row for each gradient estimator."""
