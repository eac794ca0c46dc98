"""What users have beside a model and a guide, with everything that the library does: one table."""
