"""Programs that measure: what makes the tables and figures of the pages."""
