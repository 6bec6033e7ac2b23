"""Reinforcement learning that several methods share."""
