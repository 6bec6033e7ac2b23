"""Networks and other modules of learners."""
