"""Posteriors of the library's guides against exact ones: `python -m models.studies.accuracy`."""
