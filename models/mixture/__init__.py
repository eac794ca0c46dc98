"""A mixture small enough to enumerate: every method's answer beside the truth."""
