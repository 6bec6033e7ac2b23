"""Suites as Gymnasium environments."""
