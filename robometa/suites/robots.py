"""Robots: a MuJoCo model and how it is observed, reset and ended. No simulator is loaded to describe one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from robometa.suites.observation import Term
from robometa.suites.sim_to_real import SimToReal

PARTS = ("joint_positions", "velocities", "position", "sensors")
"""Parts of an observation, in their order."""


@dataclass(frozen=True)
class Sizes:
    """Counts of a model's parts, which determine the sizes of variations."""

    bodies: int
    """Bodies without the world."""
    geoms: int
    velocities: int
    """Degrees of freedom."""
    actuators: int
    timestep: float
    """Duration of a physics step, s."""
    driven: int
    """Hinges and slides that actuators drive, each counted once."""


@dataclass(frozen=True)
class Gains:
    """A controller that turns each actuator of a joint into a position servo: PD, as on the robot itself."""

    stiffness: tuple[float, ...]
    """N m/rad or N/m, one number or one for each actuator."""
    damping: tuple[float, ...]
    """N m s/rad or N s/m, one number or one for each actuator."""
    effort: tuple[float, ...] | None = None
    """Largest torque or force, N m or N; the actuator's own limit if None."""


@dataclass(frozen=True)
class ActionMap:
    """The controls that actions in -1..1 stand for: `centre + scale * action`, within each control's range."""

    centre: str | None = None
    """`keyframe` or `range`, the middle of the control's range; None for the keyframe, if an episode begins at one."""
    scale: tuple[float, ...] | None = None
    """In the controls' units, one number or one for each actuator; half the width of its range if None."""


@dataclass(frozen=True)
class Physics:
    """Numbers of the simulation in place of the model's own; None keeps the model's."""

    timestep: float | None = None
    """Duration of a physics step, s."""
    cone: str | None = None
    """Friction cone: `pyramidal`, which is faster, or `elliptic`, which slips less."""
    impratio: float | None = None
    """Stiffness of friction relative to that of contacts."""
    iterations: int | None = None
    """Most steps of the solver."""
    line_search: int | None = None
    """Most steps of the solver's line search."""


@dataclass(frozen=True)
class Robot:
    """A MuJoCo model and how it is observed, reset and ended."""

    name: str
    about: str
    mjcf: Path
    """The model file."""
    frame_skip: int
    """Physics steps per control step."""
    observe: tuple[str, ...] = ("joint_positions", "velocities")
    """Parts of the observation: `joint_positions` (all but the base's x and y), `velocities`, `position`
    (the base's x and y, m) and `sensors`."""
    body: str = "torso"
    """The body whose position, velocity, height and pitch are the robot's."""
    reset_noise: float = 0.1
    """Half width of the uniform noise on every position at a reset, m or rad."""
    reset_velocity_noise: float = 0.1
    """Scale of the noise on every velocity at a reset, m/s or rad/s."""
    reset_velocity_normal: bool = False
    """That noise is normal; uniform otherwise."""
    height: tuple[float, float] | None = None
    """The episode ends when the body's height, m, leaves this range."""
    pitch: float | None = None
    """The episode ends when the body's pitch, rad, is beyond this in either direction."""
    state_limit: float | None = None
    """The episode ends when a number of the state, except the base's x and y, is beyond this."""
    velocity_clip: float | None = None
    """Velocities are observed within plus or minus this."""
    sensors: tuple[tuple[str, str], ...] = ()
    """Sensors added to the model file: MuJoCo's sensor type and the body it looks at."""
    quantities: tuple[tuple[str, str], ...] = ()
    """Named quantities read from a sensor of the model instead of from `body`: (quantity, sensor)."""
    sizes: Sizes | None = None
    """Known sizes; `own_model.sizes_of` counts others."""
    terms: tuple[Term, ...] = ()
    """Terms of the observation, in their order, in place of `observe`."""
    feet: tuple[str, ...] = ()
    """Geoms or bodies that touch the ground."""
    senses: tuple[str, ...] = ()
    """Groups of sensors to add for the observation and the objective, by the names in `SENSES` of `sim`."""
    real: SimToReal | None = None
    """Differences to the real robot that are simulated."""
    keyframe: str | None = None
    """Keyframe at which an episode begins: `home` if None and the model has it, `qpos0` for the model as drawn."""
    reset_base_noise: float | None = None
    """Half width of the noise on the base's positions; `reset_noise` if None, and at most 0.02 if `careful`."""
    reset_joint_noise: float | None = None
    """Half width of the noise on the joints' positions; if None, `reset_noise`."""
    action: ActionMap = ActionMap()
    """Controls that actions stand for."""
    gains: Gains | None = None
    """Position servos in the place of the model's own actuators."""
    physics: Physics | None = None
    """Numbers of the simulation in place of the model's own."""
    floor: bool = False
    """Add a flat floor to the model."""
    root: Path | None = None
    """Folder that the model's files may lie in; the model's own if None."""
    careful: bool = False
    """Noise at the beginning of an episode puts no joint outside its range and nothing into the ground."""
    package: str | None = None
    """Installed package that the model file is part of."""
    digest: str | None = None
    """SHA-256 of the model's files, where they may change: with another model it is another robot."""


def gymnasium_asset(name: str) -> Path:
    """The path of one of Gymnasium's model files, found without importing Gymnasium."""
    spec = importlib.util.find_spec("gymnasium")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("gymnasium is not installed: pip install 'gymnasium[mujoco]'")
    return Path(spec.submodule_search_locations[0]) / "envs" / "mujoco" / "assets" / name


SAWYER = Robot(
    name="sawyer",
    about="Meta-World's Sawyer arm: its hand is pulled up to 1 cm along each axis a step of 0.0125 s.",
    mjcf=Path("sawyer"),  # every task has a model of its own, in Meta-World's package
    frame_skip=5,
    observe=("arm", "objects"),
    body="hand",
)
"""Robot of Meta-World's suites; not among `ROBOTS`, because it needs their tasks."""

ROBOTS = {
    robot.name: robot
    for robot in (
        Robot(
            name="half-cheetah",
            about="Gymnasium's planar half-cheetah, six joints; control step 0.05 s; never falls by rule.",
            mjcf=gymnasium_asset("half_cheetah.xml"),
            frame_skip=5,
            observe=("joint_positions", "velocities", "position"),
            reset_velocity_normal=True,
            sizes=Sizes(bodies=7, geoms=9, velocities=9, actuators=6, timestep=0.01, driven=6),
        ),
        Robot(
            name="ant",
            about="Gymnasium's ant, eight joints; control step 0.05 s; ends with the torso outside 0.2..1 m.",
            mjcf=gymnasium_asset("ant.xml"),
            frame_skip=5,
            reset_velocity_normal=True,
            height=(0.2, 1.0),
            sizes=Sizes(bodies=13, geoms=14, velocities=14, actuators=8, timestep=0.01, driven=8),
        ),
        Robot(
            name="walker2d",
            about="Gymnasium's planar walker, six joints; control step 0.008 s; ends when it falls.",
            mjcf=gymnasium_asset("walker2d_v5.xml"),
            frame_skip=4,
            reset_noise=0.005,
            reset_velocity_noise=0.005,
            height=(0.8, 2.0),
            pitch=1.0,
            velocity_clip=10.0,
            sizes=Sizes(bodies=7, geoms=8, velocities=9, actuators=6, timestep=0.002, driven=6),
        ),
        Robot(
            name="hopper",
            about="Gymnasium's planar hopper, three joints; control step 0.008 s; ends when it falls.",
            mjcf=gymnasium_asset("hopper.xml"),
            frame_skip=4,
            reset_noise=0.005,
            reset_velocity_noise=0.005,
            height=(0.7, float("inf")),
            pitch=0.2,
            state_limit=100.0,
            velocity_clip=10.0,
            sizes=Sizes(bodies=4, geoms=5, velocities=6, actuators=3, timestep=0.002, driven=3),
        ),
        Robot(
            name="humanoid",
            about="Gymnasium's humanoid, seventeen joints; control step 0.015 s; ends when the torso leaves 1..2 m.",
            mjcf=gymnasium_asset("humanoid.xml"),
            frame_skip=5,
            observe=("joint_positions", "velocities", "sensors"),
            reset_noise=0.01,
            reset_velocity_noise=0.01,
            height=(1.0, 2.0),
            sensors=(("subtreelinvel", "torso"),),
            sizes=Sizes(bodies=13, geoms=18, velocities=23, actuators=17, timestep=0.003, driven=17),
        ),
        Robot(
            name="point",
            about="A point that moves by a tenth of its action at every control step of 0.1 s.",
            mjcf=Path(__file__).with_name("point.xml"),
            frame_skip=1,
            observe=("position",),
            body="point",
            reset_velocity_noise=0.0,
            sizes=Sizes(bodies=1, geoms=1, velocities=2, actuators=2, timestep=0.1, driven=2),
        ),
    )
}


def package_folder(name: str) -> Path | None:
    """The folder of an installed package, found without importing it; None if there is none of this name."""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    return (
        None if spec is None or spec.origin is None or not spec.submodule_search_locations else Path(spec.origin).parent
    )


def is_shipped(mjcf: Path) -> bool:
    """Returns True for a model file of this package or of Gymnasium that `ROBOTS` names."""
    return mjcf in {robot.mjcf for robot in ROBOTS.values()}
