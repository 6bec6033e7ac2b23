"""Who computes the pieces of a batch: this process, others of this machine, or a cluster."""
