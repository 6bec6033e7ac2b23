"""Rewards and success conditions of the fifty manipulation tasks, on batched tensors."""

from robometa.sim.manipulation.rewards.coffee import COFFEE
from robometa.sim.manipulation.rewards.fitting import FITTING
from robometa.sim.manipulation.rewards.lifting import LIFTING
from robometa.sim.manipulation.rewards.opening import OPENING
from robometa.sim.manipulation.rewards.pressing import PRESSING
from robometa.sim.manipulation.rewards.pushing import PUSHING
from robometa.sim.manipulation.rewards.reaching import REACHING
from robometa.sim.manipulation.rewards.sliding import SLIDING
from robometa.sim.manipulation.rewards.tools import TOOLS
from robometa.sim.manipulation.rewards.turning import TURNING

MANIPULATIONS = {
    **REACHING,
    **PUSHING,
    **OPENING,
    **PRESSING,
    **TURNING,
    **LIFTING,
    **FITTING,
    **COFFEE,
    **SLIDING,
    **TOOLS,
}
"""By task."""
