"""Meta-World's rewards of all that is grasped beside upstream, where the gripper is closely around a thing."""

import numpy as np
import pytest
import torch

from robometa import suites

metaworld = pytest.importorskip("metaworld")

from robometa.sim.metaworld.group import SOURCES, Group  # noqa: E402
from robometa.sim.metaworld.quantities import Quantities  # noqa: E402
from robometa.sim.metaworld.rewards import MANIPULATIONS  # noqa: E402
from robometa.sim.metaworld.rewards.coffee import COFFEE  # noqa: E402
from robometa.sim.metaworld.rewards.fitting import FITTING  # noqa: E402
from robometa.sim.metaworld.rewards.lifting import LIFTING  # noqa: E402
from robometa.sim.metaworld.rewards.pushing import PUSHING  # noqa: E402
from robometa.sim.metaworld.rewards.tools import TOOLS  # noqa: E402
from robometa.sim.metaworld.upstream import reset, template  # noqa: E402

STATES = 400


def about(source, place, low, high):
    """A place around another, at a distance of 10 ** low to 10 ** high m."""
    return place + source.normal(size=3) * 10 ** source.uniform(low, high)


def embrace(env, scene, source):
    """Puts an object near its goal or where it began, a pad on each side of it, and the fingers over it."""
    data = env.data
    start = getattr(env, "stick_init_pos", env.obj_init_pos)
    thing = about(source, [start, env._target_pos][source.integers(2)], -4, -0.5)
    first, *others = scene.objects
    getattr(data, first.kind)(first.name).xpos[:] = thing - first.offset
    for place in others:
        getattr(data, place.kind)(place.name).xpos[:] = about(source, env._target_pos, -3, 0) - place.offset
    for side, pad in ((1, "leftpad"), (-1, "rightpad")):
        data.body(pad).xpos[:] = thing + np.array([0, side * source.uniform(0, 0.06), 0])
    middle = about(source, thing, -4, -1)
    for tip in ("rightEndEffector", "leftEndEffector"):
        data.site(tip).xpos[:] = middle
    data.body("hand").xpos[:] = about(source, middle, -4, -1)
    for side, claw in ((1, "leftclaw"), (-1, "rightclaw")):
        data.body(claw).xpos[:] = middle + np.array([0, side * source.uniform(0, 0.06), 0])


@pytest.mark.parametrize("name", sorted({*PUSHING, *TOOLS, *LIFTING, *FITTING, *COFFEE} - {"coffee-button-v3"}))
@pytest.mark.sample(6)
def test_a_held_thing_is_rewarded_as_upstream(name, monkeypatch):
    goal = dict(suites.load(f"ml1/{name}").train[0].parameters)["goal"]
    loaded, objective = template(name, "v2"), MANIPULATIONS[name]
    start, env = loaded.start(goal, dict(objective.remembers)), loaded.env
    reset(env, goal)
    group = Group(loaded, contacts=objective.contacts)
    group.hold([start] * STATES, np.arange(STATES))
    source = np.random.default_rng(0)
    group.touching[:] = source.uniform(size=STATES) < 0.5
    action = source.uniform(-1, 1, (STATES, 4)).round(1)
    seen, judged = np.zeros((STATES, 39)), []
    for state in range(STATES):
        embrace(env, group.scene, source)
        seen[state] = env._get_obs()
        monkeypatch.setattr(env, "touching_object", lambda _, state=state: group.touching[state])
        judged.append(env.evaluate_state(seen[state], action[state]))
        for kind in SOURCES:
            group.each(kind)[state] = getattr(env.data, SOURCES[kind])
    grips = [told["grasp_reward"] for _, told in judged]
    assert any(0.55 < grip < 1 for grip in grips), "no firm grip among them: being around the thing is worth a half"
    first = np.broadcast_to(seen[0, 4:7], (STATES, 3)).copy()
    for convert in (np.asarray, torch.from_numpy):
        quantity = Quantities(group, *map(convert, (seen, action, first)), convert)
        paid, success = (np.asarray(batch) for batch in objective.reward(quantity))
        np.testing.assert_allclose(paid, [reward for reward, _ in judged], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(success, [told["success"] > 0 for _, told in judged])
