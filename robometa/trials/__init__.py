"""The trial, where a learner meets a simulator."""
