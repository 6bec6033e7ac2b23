"""Collectors: this process, others of this machine, or a cluster compute the pieces of a batch."""
