"""Wires between policy and robot: terms, noise, delays, commands, pushes and motor errors, by their definitions."""

import dataclasses

import mujoco
import numpy as np
import pytest
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.locomotion import models
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.postmortem import repeat_step
from robometa.sim.signals import robot_spaces

TASKS, WORLDS = 2, 3
ANT_FEET = '["left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom"]'
SPLITS = (
    "[train]\ntasks = 3\ngravity = { uniform = [0.8, 1.2] }\n[test]\ntasks = 2\ngravity = { uniform = [0.8, 1.2] }\n"
)
EVERYTHING = f"""
horizon = 12
[objective]
track_velocity = 1.0
energy = -0.01
smoothness = -0.1
feet_air_time = 0.5
[command]
velocity = {{ uniform = [0.5, 1.0] }}
yaw_rate = {{ normal = [0.0, 0.2] }}
resample = [0.1, 0.3]
[robot]
name = "ant"
feet = {ANT_FEET}
observe = [
  {{ term = "base_angular_velocity", noise = 0.2 }},
  {{ term = "projected_gravity", noise = {{ normal = 0.05 }} }},
  {{ term = "joint_positions", bias = 0.02, history = 2 }},
  {{ term = "joint_velocities", scale = 0.05, clip = 3.0, delay = 0.05 }},
  "last_action", "command", "foot_contacts", "base_height",
]
[sim_to_real]
action_delay = [0.0, 0.08]
motor_offset = 0.05
gain_error = 0.1
pushes = {{ every = [0.1, 0.2], speed = 0.5, turn = 0.3 }}
{SPLITS}"""


@pytest.fixture
def load(tmp_path):
    """Loads a suite of this text; every call writes a file of its own."""
    written = []

    def load(text):
        written.append(tmp_path / f"mine-{len(written)}.toml")
        written[-1].write_text(text, encoding="utf-8")
        return suites.load(str(written[-1]))

    return load


@pytest.fixture
def ant(load):
    """Loads an ant's suite with these terms and further lines."""

    def of(observe, more="", robot="", objective='objective = "forward"'):
        return load(
            f'{objective}\nhorizon = 12\n{more}\n[robot]\nname = "ant"\nfeet = {ANT_FEET}\n{robot}\n'
            f"observe = [{observe}]\n{SPLITS}"
        )

    return of


def engine_of(suite, tasks=TASKS, worlds=WORLDS):
    return CpuEngine(suite, tasks, worlds, threads=1)


def noise(tasks=TASKS, worlds=WORLDS, seed=0):
    return Noise(seed, ("wires",), tasks, worlds)


def actions(steps, tasks=TASKS, worlds=WORLDS, size=8):
    draws = torch.rand(20, tasks, worlds, size, generator=torch.Generator().manual_seed(0))
    return 2 * draws[:steps] - 1


def rolled(engine, steps=15, source=None):
    """Observations `[time + 1, task, world, obs]` and rewards `[time, task, world]`."""
    seen, paid = [engine.reset(source or noise(engine.tasks, engine.worlds))], []
    for action in actions(steps, engine.tasks, engine.worlds):
        outcome = engine.step(action)
        seen.append(outcome.obs)
        paid.append(outcome.reward)
    return torch.stack(seen), torch.stack(paid)


def test_terms_are_what_mujoco_says(ant):
    """At a reset, where sensors are read at the state that is seen."""
    terms = (
        '"base_angular_velocity", "base_linear_velocity", { term = "base_linear_velocity", frame = "world" },'
        '{ term = "base_linear_velocity", frame = "heading" }, "projected_gravity", "base_orientation", "base_height",'
        '"base_position", "joint_positions", { term = "joint_positions", relative = false }, "joint_velocities"'
    )
    engine = engine_of(ant(terms, robot="reset_velocity_noise = 2.0"))
    seen = engine.reset(noise())[0, 0].double()
    data = mujoco.MjData(engine.model)
    mujoco.mj_setState(engine.model, data, engine.state().physics[0, 0], mujoco.mjtState.mjSTATE_FULLPHYSICS)
    mujoco.mj_forward(engine.model, data)
    body = engine.model.body("torso").id
    turn, velocity = data.xmat[body].reshape(3, 3), data.qvel[:3]
    yaw = np.arctan2(turn[1, 0], turn[0, 0])
    ahead = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    wanted = np.concatenate(
        [
            *(data.qvel[3:6], turn.T @ velocity, velocity, ahead @ velocity, turn.T @ [0, 0, -1], data.xquat[body]),
            *(data.xpos[body][2:], data.xpos[body][:2]),
            *(data.qpos[7:] - engine.model.qpos0[7:], data.qpos[7:], data.qvel[6:]),
        ]
    )
    assert torch.allclose(seen, torch.from_numpy(wanted), atol=1e-5)


def test_gravity_is_the_task_s(load):
    suite = load(
        'objective = "forward"\n[robot]\nname = "ant"\nreset_noise = 0\nobserve = ["projected_gravity"]\n'
        "[train]\nslope = { values = [0.0, 0.2] }\n[test]\nslope = { values = [0.1] }\n"
    )
    seen = engine_of(suite, worlds=1).reset(noise(worlds=1))[:, 0].double()
    assert torch.allclose(seen, torch.tensor([[0, 0, -1.0], [-np.sin(0.2), 0, -np.cos(0.2)]]).double(), atol=1e-6)


def test_scale_clip_delay_and_history(ant):
    plain, _ = rolled(engine_of(ant('"joint_velocities"')))
    changed, _ = rolled(engine_of(ant('{ term = "joint_velocities", clip = [-1.0, 2.0], scale = 0.5 }')))
    assert torch.allclose(changed, plain.clamp(-1.0, 2.0) * 0.5)
    late, _ = rolled(engine_of(ant('{ term = "joint_velocities", delay = 0.1 }')))
    kept, _ = rolled(engine_of(ant('"projected_gravity", { term = "joint_velocities", history = 3 }')))
    for time in (0, 1, 2, 5, 12, 13, 15):  # the second episode begins at 12
        began = 12 * (time // 12)
        assert torch.equal(late[time], plain[max(began, time - 2)])
        samples = torch.cat([plain[max(began, time - back)] for back in (2, 1, 0)], dim=-1)
        assert torch.equal(kept[time][..., 3:], samples)


def test_noise_and_bias(ant):
    plain, _ = rolled(engine_of(ant('{ term = "joint_positions" }')))
    noisy, _ = rolled(engine_of(ant('{ term = "joint_positions", noise = 0.1 }')))
    biased, _ = rolled(engine_of(ant('{ term = "joint_positions", bias = 0.1 }')))
    normal, _ = rolled(engine_of(ant('{ term = "joint_positions", noise = { normal = 0.1 } }')))
    error = noisy - plain
    assert error.abs().max() <= 0.1 + 1e-6
    assert error.std() == pytest.approx(0.1 / 3**0.5, rel=0.1)
    assert (normal - plain).std() == pytest.approx(0.1, rel=0.1)
    assert (normal - plain).abs().max() > 0.2
    assert len(error.flatten().unique()) > 0.9 * error.numel()  # of every world, step and number its own
    lasting = biased - plain
    assert lasting.abs().max() <= 0.1 + 1e-6
    assert (lasting[:12] - lasting[0]).abs().max() < 1e-5  # for an episode
    assert (lasting[12] - lasting[0]).abs().max() > 0.01


def test_last_action_is_clipped_and_zero_at_first(ant):
    engine = engine_of(ant('"last_action"'))
    assert torch.equal(engine.reset(noise()), torch.zeros(TASKS, WORLDS, 8))
    action = 3 * actions(1)[0]
    assert torch.equal(engine.step(action).obs, action.clamp(-1, 1))
    broken = engine.step(torch.full_like(action, float("nan")))
    assert broken.diverged.all()
    assert broken.next_obs.isfinite().all()


def test_feet_touch(ant):
    engine = engine_of(ant('"foot_contacts", "base_height"'))
    seen, _ = rolled(engine, 11)
    contacts, height = seen[..., :4], seen[..., 4]
    assert set(contacts.unique().tolist()) == {0.0, 1.0}
    assert not contacts[0].any()  # it begins above the floor
    assert height.min() > 0.1


def test_a_sensor_by_name_and_all_of_them(load):
    text = 'objective = "forward"\n[robot]\nname = "humanoid"\nobserve = [%s]\n' + SPLITS
    with pytest.raises(UserError, match=r"unknown sensor 'gyro'.*\(for observe\)"):
        engine_of(load(text % '{ sensor = "gyro" }'))
    both = engine_of(load(text % '{ sensor = "subtreelinvel/torso" }, "sensors"')).reset(noise())
    assert both.shape[-1] == 6
    assert torch.equal(both[..., :3], both[..., 3:])


def test_the_same_numbers_whatever_the_batch_and_from_a_restored_state(load):
    suite = load(EVERYTHING)
    whole, paid = rolled(engine_of(suite))
    part = engine_of(suite, tasks=1)
    part.assign([suite.train[1]])
    source = noise().part(1, 1)
    seen = [part.reset(source)]
    for time, action in enumerate(actions(15)):
        if time == 7:  # another engine goes on
            state, part = part.state(), engine_of(suite, tasks=1)
            part.assign([suite.train[1]])
            part.reset(noise(tasks=1, seed=5))
            part.restore(state)
        outcome = part.step(action[1:])
        seen.append(outcome.obs)
        assert torch.equal(outcome.reward[0], paid[time, 1])
    assert torch.equal(torch.stack(seen)[:, 0], whole[:, 1])
    other, _ = rolled(engine_of(suite), source=noise(seed=1))
    assert not torch.equal(other[3], whole[3])


def test_an_action_arrives_late(ant):
    """A delay of a control step is the action of the step before, first the middle of the range."""
    late = engine_of(ant('"joint_positions"', "[sim_to_real]\naction_delay = 0.05"))
    plain = engine_of(ant('"joint_positions"'))
    for engine in (late, plain):
        engine.reset(noise())
    before = torch.zeros(TASKS, WORLDS, 8)
    for action in actions(6):
        late.step(action)
        plain.step(before)
        assert np.array_equal(late.state().physics, plain.state().physics)
        before = action


def test_an_action_arrives_within_a_step(ant):
    engine = engine_of(ant('"joint_positions"', "[sim_to_real]\naction_delay = 0.02"))
    engine.reset(noise())
    first, second = actions(2)
    engine.step(first)
    engine.step(second)
    control = engine._control.reshape(TASKS, WORLDS, 5, 8)
    assert np.allclose(control[:, :, :2], first[:, :, None])
    assert np.allclose(control[:, :, 2:], second[:, :, None])


def test_drawn_delays_are_within_their_range(load):
    engine = engine_of(load(EVERYTHING), worlds=20)
    engine.reset(noise(worlds=20))
    assert set(engine._wires._delay().tolist()) == set(range(9))
    gains = engine._wires.gains
    assert (gains - 1).abs().max() <= 0.1
    assert len(gains.unique()) == gains.numel()
    base = models.varied(engine.assigned[0]).actuator_gainprm
    assert np.allclose(engine._models[3].actuator_gainprm[:, 0], base[:, 0] * gains[3].numpy())
    engine.step(torch.zeros(TASKS, 20, 8))
    offset = engine._control[:, -1]
    assert np.abs(offset).max() <= 0.05
    assert len(np.unique(offset)) == offset.size
    before = engine._control.copy()
    engine.step(torch.zeros(TASKS, 20, 8))
    assert np.array_equal(engine._control, before)


def test_a_push_changes_the_velocity_by_what_is_asked(ant):
    pushed = engine_of(ant('"joint_positions"', "[sim_to_real]\npushes = { every = 0.15, speed = 0.5 }"))
    plain = engine_of(ant('"joint_positions"'))
    for engine in (pushed, plain):
        engine.reset(noise())
    velocity = slice(1 + 15, 1 + 15 + 2)
    for step, action in enumerate(actions(3)):
        pushed.step(action)
        plain.step(action)
        change = pushed.state().physics[..., velocity] - plain.state().physics[..., velocity]
        assert np.allclose(np.linalg.norm(change, axis=-1), 0.5 if step == 2 else 0.0)
    assert len(np.unique(change)) == change.size  # every world's own direction


ARM = """<mujoco><worldbody><body name="hand"><joint name="turn" type="ball"/>
<geom size="0.1" mass="1"/></body></worldbody><actuator><motor joint="turn" ctrlrange="-1 1"/></actuator></mujoco>"""


def test_what_cannot_be_pushed_is_refused(load, tmp_path):
    (tmp_path / "arm.xml").write_text(ARM)
    suite = load(
        'objective = { alive = 1.0 }\n[robot]\nmjcf = "arm.xml"\nbody = "hand"\n'
        f"[sim_to_real]\npushes = {{ every = 1.0, speed = 0.5 }}\n{SPLITS}"
    )
    with pytest.raises(UserError, match="robot arm cannot be pushed: no joint lets it move along x or y"):
        engine_of(suite)


def test_commands_are_seen_paid_and_drawn_anew(load):
    suite = load(
        'objective = "velocity"\nhorizon = 12\nrobot = "half-cheetah"\n'
        f"[command]\nvelocity = {{ uniform = [1.0, 2.0] }}\nresample = 0.2\n{SPLITS}"
    )
    engine = engine_of(suite)
    assert engine.spaces.observation == 19
    assert robot_spaces(suite).observation[18].name == "command/velocity"
    obs, commands = engine.reset(noise()), []
    for action in actions(12, size=6):
        commands.append(obs[..., 18])
        outcome = engine.step(action)
        velocity = (outcome.next_obs - obs)[..., 17] / 0.05
        assert torch.allclose(outcome.reward, -(velocity - commands[-1]).abs(), atol=1e-4)
        obs = outcome.obs
    commands = torch.stack(commands)
    assert ((commands >= 1) & (commands <= 2)).all()
    changed = (commands[1:] != commands[:-1]).flatten(1)
    assert [bool(row.all()) for row in changed] == [step % 4 == 3 for step in range(11)]
    assert not changed[0].any()
    assert (engine.worst_reward <= -12).all()  # 10 m/s the wrong way


def test_terms_of_rewards_add_up(load):
    def paid(objective):
        suite = load(
            EVERYTHING.replace(EVERYTHING[EVERYTHING.index("[objective]") : EVERYTHING.index("[command]")], objective)
        )
        return rolled(engine_of(suite))[1]

    both = paid("[objective]\nupright = 2.0\nenergy = -0.01\n")
    assert torch.allclose(
        both, 2 * paid("[objective]\nupright = 1.0\n") - 0.01 * paid("[objective]\nenergy = 1.0\n"), atol=1e-4
    )
    assert torch.allclose(paid("[objective]\nalive = 3.0\n"), torch.tensor(3.0))
    change = (actions(15)[1:] - actions(15)[:-1]).square().sum(-1)
    assert torch.allclose(paid("[objective]\nsmoothness = 1.0\n")[1:11], change[:10], atol=1e-4)


def test_energy_is_force_times_velocity(ant):
    suite = ant('"joint_velocities"', objective="objective = { energy = 1.0 }")
    engine = engine_of(suite, 1, 1)
    engine.reset(noise(1, 1))
    paid = engine.step(actions(1, 1, 1)[0]).reward
    physics = torch.from_numpy(engine._path[0, -2])  # from which the last physics step began
    velocity = physics[1 + 15 + 6 : 1 + 15 + 14]
    order = [int(engine.model.actuator_trnid[index, 0]) - 1 for index in range(8)]
    power = (150 * actions(1, 1, 1)[0, 0, 0].double() * velocity[order]).abs().sum()
    assert paid.item() == pytest.approx(power.item(), rel=1e-5)


def test_air_time_is_paid_when_a_foot_lands(ant):
    suite = ant('"foot_contacts"', objective="objective = { feet_air_time = { weight = 1.0, target = 0.0 } }")
    engine = engine_of(suite, 1, 1)
    seen, paid = rolled(engine, 11)
    down, air, wanted = seen[1:, 0, 0] > 0, torch.zeros(4), []
    for now in down:
        air += 0.05
        wanted.append(float((air * (now & (air > 0.051))).sum()))
        air *= ~now
    assert any(wanted)
    assert torch.allclose(paid[:, 0, 0], torch.tensor(wanted), atol=1e-5)


def test_a_divergence_is_repeated_with_its_memory(load):
    suite = load(EVERYTHING)
    engine, told = engine_of(suite, 1, 1), []
    engine.on_divergence = told.append
    engine.reset(noise(1, 1))
    engine.step(torch.ones(1, 1, 8))
    engine._state[0, 1 + 15 + 8] = 1e9
    engine.step(torch.ones(1, 1, 8))
    assert len(told) == 1
    assert told[0].memory.shape == engine._wires.memory[0].shape
    found = repeat_step(suite, told[0])
    assert found.again
    assert found.blown_up


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('observe = ["projected_gravty"]', "did you mean 'projected_gravity'"),
        ('observe = ["velocities", "projected_gravity"]', "velocities goes with the other former parts only"),
        ('observe = [{ term = "base_height", nois = 1 }]', "did you mean 'noise'"),
        ('observe = [{ term = "base_height", frame = "world" }]', "the term base_height has no frame"),
        ('observe = [{ term = "base_height", clip = [1, 0] }]', "a range [low, high]"),
        ('observe = [{ term = "base_height", noise = { uniform = 1, normal = 2 } }]', "the half width"),
        ('observe = [{ term = "base_height", history = 0 }]', "must be a whole number from 1 to 100"),
        ('observe = [{ term = "base_height", scale = 0 }]', "must not be 0"),
        ('observe = ["command"]', "observe has the term command, but there is no [command]"),
        ('observe = ["base_height"]\n[command]\nvelocity = 1.0', "must be visible"),
        ('observe = ["foot_contacts"]', "foot contacts need feet"),
        ("control_hz = 30", "allow 33.3333 or 25 nearby"),
        ("control_hz = 20\nframe_skip = 5", "exclude each other"),
        ("[command]\nspeed = 1.0", "unknown command 'speed'"),
        ("[command]\nresample = 1.0", "must be a table with one of velocity"),
        ("[command]\nvelocity = 1.0\nresample = 0", "must be above 0"),
        ("[sim_to_real]\naction_dely = 1", "did you mean 'action_delay'"),
        ("[sim_to_real]\ngain_error = 1.5", "must be below 1"),
        ("[sim_to_real]\npushes = { speed = 1.0 }", "every and one of the others"),
        ('observe = [{ term = "base_height", scale = 1e10 }]', "must be at most 1e+09"),
        ('observe = [{ term = "base_height", noise = { normal = 1e100 } }]', "must be at most 1e+09"),
        ('observe = [{ term = "base_height", bias = 1e10 }]', "must be at most 1e+09"),
        ("[command]\nvelocity = 1e100", "must be at most 1e+09"),
        ("[command]\nvelocity = { normal = [0, 1e9] }", "must be at most 1e+09"),
        ("[command]\nvelocity = { base = 10, exponent = [0, 10] }", "must be at most 1e+09"),
        ("reset_joint_noise = 1e10", "must be at most 1e+09"),
        ("control_hz = 1e-320", "allow 0.1 nearby"),
        ("control_hz = 1e100", "allow 100 nearby"),
    ],
)
def test_a_mistake_is_told(load, lines, told):
    with pytest.raises(UserError) as error:
        load(f'objective = "forward"\n[robot]\nname = "ant"\n{lines}\n{SPLITS}')
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("uprigth = 1.0", "did you mean 'upright'"),
        ("track_velocity = { sigma = 1.0 }", "track_velocity in [objective] of"),
        ("track_velocity = { weight = 1.0, sigma = 0.0 }", "must be above 0"),
        ("track_velocity = { weight = 1.0, sgma = 0.1 }", "did you mean 'sigma'"),
        ("track_velocity = 1.0", "missing parameter 'velocity'"),
        ('upright = "much"', "must be a finite number"),
        ("", "needs a term"),
        ("upright = 1.0\n[coefficients]\nalive_bonus = 1.0", "go with a named objective"),
        ("track_velocity = 1.0\n[command]\nvelocity = 1.0\n[learner]", ""),
    ],
)
def test_a_mistake_in_the_weights_is_told(load, weights, told):
    text = f'robot = "ant"\n[objective]\n{weights}\n{SPLITS}'
    if not told:
        assert load(text).objective == "terms"
        return
    with pytest.raises(UserError) as error:
        load(text)
    assert told in str(error.value)


def test_delays_that_fit_no_step_are_told(ant):
    with pytest.raises(UserError, match=r"the delay of base_height, 0.03 s, must be a whole number of control steps"):
        engine_of(ant('{ term = "base_height", delay = 0.03 }'))
    with pytest.raises(UserError, match=r"the delay of base_height, 1e\+06 s, must be at most 1000 control steps"):
        engine_of(ant('{ term = "base_height", delay = 1000000.0 }'))
    with pytest.raises(UserError, match=r"action_delay, 0.015 s, must be a whole number of physics steps of 0.01 s"):
        engine_of(ant('"base_height"', "[sim_to_real]\naction_delay = 0.015"))


def test_what_an_observation_keeps_is_bounded_before_it_is_made(ant):
    terms = ", ".join(['{ term = "joint_positions", history = 100 }'] * 13)
    with pytest.raises(UserError, match=r"observe makes 10400 numbers, samples of histories included: at most 10000"):
        engine_of(ant(terms))
    terms = ", ".join([*['"joint_positions"'] * 13, '{ term = "base_height", delay = 50.0 }'])
    with pytest.raises(UserError, match=r"keep 1001 samples of 105 numbers: at most 100000 numbers"):
        engine_of(ant(terms))


def test_signals_tell_units_delays_and_errors(load):
    suite = load(EVERYTHING)
    signals = robot_spaces(suite).observation
    engine = engine_of(suite)
    assert len(signals) == engine.spaces.observation
    by_name = {signal.name: signal for signal in signals}
    assert len(by_name) == len(signals)
    old, new = by_name["joint_positions/hip_1@-1"], by_name["joint_positions/hip_1"]
    assert (old.delay, new.delay, new.bias, new.unit) == (0.05, 0.0, 0.02, "rad")
    late = by_name["joint_velocities/ankle_4"]
    assert (late.scale, late.clip, late.delay, late.unit) == (0.05, (-3.0, 3.0), 0.05, "rad/s")
    assert by_name["projected_gravity/z"].normal
    assert by_name["base_angular_velocity/x"].frame == "body"
    assert not by_name["base_height/z"].measured
    assert by_name["last_action/hip_4"].measured
    assert "NO ROBOT MEASURES IT" in dict(suite.family.rows(suite.train[0]))["policy sees"]


def test_a_hash_is_of_the_new_keys_too(load):
    plain = load(EVERYTHING).content_hash
    for old, new in (
        ("noise = 0.2", "noise = 0.3"),
        ("delay = 0.05", "delay = 0.1"),
        ("[0.5, 1.0] }", "[0.5, 1.1] }"),
        ("gain_error = 0.1", "gain_error = 0.2"),
        ("energy = -0.01", "energy = -0.02"),
        ("resample = [0.1, 0.3]", "resample = [0.1, 0.4]"),
    ):
        assert old in EVERYTHING
        assert load(EVERYTHING.replace(old, new)).content_hash != plain
    assert load(EVERYTHING).content_hash == plain


def test_a_control_rate_is_a_number_of_physics_steps(load):
    suite = load(f'objective = "forward"\n[robot]\nname = "walker2d"\ncontrol_hz = 50\n{SPLITS}')
    assert suite.robot.frame_skip == 10
    assert dataclasses.replace(suite.robot, frame_skip=4).frame_skip == 4
