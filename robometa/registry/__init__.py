"""Learners by name: shipped ones, and those in a user's own file. Naming them loads none of them."""

from robometa.registry.entry import Entry, label
from robometa.registry.learners import LEARNERS, absolute, find, of

__all__ = ["LEARNERS", "Entry", "absolute", "find", "label", "of"]
