"""Learners: one file each, behind one protocol."""
