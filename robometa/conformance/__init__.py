"""Checks that a learner keeps the learners' protocol."""
