"""Parallel computation: threads on a CPU, CUDA graphs on a GPU."""
