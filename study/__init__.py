"""The project's own table of results: every learner on the same suite within the same budget."""
