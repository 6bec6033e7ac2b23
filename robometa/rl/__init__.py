"""Reinforcement-learning components that several learners share."""
