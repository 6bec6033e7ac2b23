"""Rewards and success conditions of the fifty manipulation tasks, batched."""

from robometa.sim.metaworld.rewards.coffee import COFFEE
from robometa.sim.metaworld.rewards.fitting import FITTING
from robometa.sim.metaworld.rewards.lifting import LIFTING
from robometa.sim.metaworld.rewards.opening import OPENING
from robometa.sim.metaworld.rewards.pressing import PRESSING
from robometa.sim.metaworld.rewards.pushing import PUSHING
from robometa.sim.metaworld.rewards.reaching import REACHING
from robometa.sim.metaworld.rewards.sliding import SLIDING
from robometa.sim.metaworld.rewards.tools import TOOLS
from robometa.sim.metaworld.rewards.turning import TURNING

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
"""Rewards and success conditions by task."""
