"""Small searches, whose worker processes this process replaces: quick, and what a test patches has its effect."""

from robometa.search.work import Searching

SMALL = """
[learner.maml-trpo]
tasks = 2
worlds = 2
hidden = [4]

[learner.promp]
tasks = 2
worlds = 2
hidden = [4]
"""
"""Options that a suite's file may end with."""


class Here:
    """Stands for the worker processes: the same work in this one."""

    def __init__(self, work: Searching, count: int, patience_seconds: float) -> None:
        self.carried_out = work.begun()

    def run(self, orders):
        """Carries out orders, the last one first."""
        for place in reversed(range(len(orders))):  # whoever ends first, the results are the same
            yield place, self.carried_out(orders[place])

    def remarks(self):
        """Says that nothing happened."""
        return []

    def close(self):
        """Frees nothing."""
