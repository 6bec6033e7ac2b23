"""Every branch of Meta-World's rewards beside upstream: places that no episode visits, set by hand."""

import numpy as np
import pytest
import torch

from robometa import suites
from robometa.suites import metaworld as benchmarks

metaworld = pytest.importorskip("metaworld")

from robometa.sim.metaworld.group import DIAL_RADIUS, SOURCES, Group  # noqa: E402
from robometa.sim.metaworld.quantities import Quantities  # noqa: E402
from robometa.sim.metaworld.rewards import MANIPULATIONS  # noqa: E402
from robometa.sim.metaworld.upstream import reset, template  # noqa: E402

TASKS = [name for name in benchmarks.task_names(suites.folder()) if name in MANIPULATIONS]
STATES = 400
GRIPPER = ("hand", "rightclaw", "leftclaw", "rightpad", "leftpad")
TIPS = ("rightEndEffector", "leftEndEffector")


def somewhere(source, around, count=()):
    """Places around another, at distances of 0.1 mm to 1 m."""
    return around + source.normal(size=(*count, 3)) * 10 ** source.uniform(-4, 0, (*count, 1))


def disturb(env, scene, source):
    """Puts an object anywhere around the goal or its start, and all else anywhere around it, without any physics."""
    data = env.data
    data.qpos[:] = source.uniform(-3, 1, data.qpos.shape)
    thing = somewhere(source, (env._target_pos, env.obj_init_pos)[source.integers(2)])
    for places in (data.xpos, data.site_xpos, data.geom_xpos):
        places[:] = somewhere(source, thing, places.shape[:1])
    for place in scene.objects:
        at = thing if place is scene.objects[0] else somewhere(source, thing)
        if scene.dial is not None:
            angle = data.joint(scene.dial).qpos.item()
            at = at - DIAL_RADIUS * np.array([np.sin(angle), -np.cos(angle), 0.0])
        getattr(data, place.kind)(place.name).xpos[:] = at - place.offset
    middle = somewhere(source, thing)
    for name in GRIPPER:
        data.body(name).xpos[:] = somewhere(source, middle)
    for name in TIPS:
        data.site(name).xpos[:] = somewhere(source, middle)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.sample(10)
def test_every_branch_of_a_reward_is_upstreams(name, monkeypatch):
    goal = dict(suites.load(f"ml1/{name}").train[0].parameters)["goal"]
    loaded, objective = template(name, "v2"), MANIPULATIONS[name]
    start, env = loaded.start(goal, dict(objective.remembers)), loaded.env
    reset(env, goal)
    env._target_pos = env._target_pos.copy()  # it may be a view of a place that does not move in an episode
    group = Group(loaded, contacts=False)
    group.hold([start] * STATES, np.arange(STATES))
    low, high = loaded.bounds(goal_visible=False)
    source = np.random.default_rng(0)
    action = source.uniform(-1, 1, (STATES, 4)).round(1)
    seen = np.zeros((STATES, len(low)))
    judged = []
    group.touching = source.uniform(size=STATES) < 0.5
    for state in range(STATES):
        disturb(env, group.scene, source)
        seen[state] = np.clip(env._get_obs(), low, high)
        monkeypatch.setattr(env, "touching_object", lambda _, state=state: group.touching[state])
        judged.append(env.evaluate_state(seen[state], action[state]))
        for kind in SOURCES:
            group.each(kind)[state] = getattr(env.data, SOURCES[kind])
    reward, solved = [entry[0] for entry in judged], [entry[1]["success"] > 0 for entry in judged]
    assert 0 < sum(solved) < STATES
    first = np.broadcast_to(seen[0, 4:7], (STATES, 3)).copy()
    for convert in (np.asarray, torch.from_numpy):
        quantity = Quantities(group, convert(seen), convert(action), convert(first), convert)
        paid, success = (np.asarray(batch) for batch in objective.reward(quantity))
        assert paid.dtype == np.float64
        np.testing.assert_allclose(paid, reward, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(success, solved)
