"""Robots of an MJCF file, on the CPU."""
