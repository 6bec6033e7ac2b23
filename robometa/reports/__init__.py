"""Reports of evaluations: scores, statistics, tables."""
