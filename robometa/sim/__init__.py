"""The simulator: the engines that step a suite's tasks."""
