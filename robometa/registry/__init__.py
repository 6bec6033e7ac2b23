"""Learners by name: shipped ones and those in a user's file. Listing them imports none of them."""

from robometa.registry.entry import Entry, label
from robometa.registry.learners import LEARNERS, absolute, find, of

__all__ = ["LEARNERS", "Entry", "absolute", "find", "label", "of"]
