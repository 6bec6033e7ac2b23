"""Small robots of one's own for tests, and suites with them."""

import json
import tempfile
from pathlib import Path

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites import model_process, own_model
from robometa.suites.own_model import Compiled
from robometa.suites.robots import Sizes

LEG = (
    '<body name="{name}" pos="{x} {y} 0"><joint name="{name}_hip" axis="0 1 0" range="-0.7 2.5"/>'
    '<geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02" mass="0.5"/>'
    '<body name="{name}_shin" pos="0 0 -0.2"><joint name="{name}_knee" axis="0 1 0" range="-2.7 -0.9"/>'
    '<geom type="capsule" fromto="0 0 0 0 0 -0.2" size="0.02" mass="0.2"/></body></body>'
)
LEGS = {"FL": (0.18, 0.12), "FR": (0.18, -0.12), "RL": (-0.18, 0.12), "RR": (-0.18, -0.12)}
BODY = '<body name="trunk" pos="0 0 0.32"><freejoint/><geom type="box" size="0.2 0.1 0.05" mass="6"/>{legs}</body>'
DRIVE = '<{kind} name="{leg}_{joint}" joint="{leg}_{joint}" {more}/>'
HOME = "0.9 -1.8 0.9 -1.8 0.9 -1.8 0.9 -1.8"
FLOOR = '<geom type="plane" size="0 0 1"/>'


def quadruped(*, floor=FLOOR, kind="position", more='kp="60" forcerange="-20 20"', height=0.27, ctrl=f'ctrl="{HOME}"'):
    """A quadruped with a `home` keyframe, whose knees cannot be straight. Its servos have no ctrlrange."""
    legs = "".join(LEG.format(name=name, x=x, y=y) for name, (x, y) in LEGS.items())
    drives = "".join(
        DRIVE.format(kind=kind, leg=leg, joint=joint, more=more) for leg in LEGS for joint in ("hip", "knee")
    )
    return f"""<mujoco><compiler angle="radian" autolimits="true"/><option timestep="0.002"/>
    <default><joint damping="1" armature="0.01"/></default>
    <worldbody>{floor}{BODY.format(legs=legs)}</worldbody><actuator>{drives}</actuator>
    <keyframe><key name="home" qpos="0 0 {height} 1 0 0 0 {HOME}" {ctrl}/></keyframe></mujoco>"""


def suite_of(folder, xml, robot="", task="", objective="forward", tasks=1):
    """A suite of a robot in a folder: `robot` and `task` are keys of its tables."""
    (folder / "robot.xml").write_text(xml, encoding="utf-8")
    text = f'objective = "{objective}"\nhorizon = 200\nfinite = true\n[robot]\nmjcf = "robot.xml"\n{robot}\n'
    text += "".join(f"[{split}]\ntasks = {tasks}\n{task}\n" for split in ("train", "test"))
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return suites.load(path)


def engine_of(suite, worlds=1):
    """An engine of a suite's first task, whose episodes have begun."""
    engine = CpuEngine(suite, 1, worlds, threads=1)
    engine.reset(Noise(0, ("own",), 1, worlds))
    return engine


def positions(engine):
    """Positions of all worlds. `[world, position]`."""
    return engine.state().physics[0, :, 1 : 1 + engine.model.nq]


def compile_here(monkeypatch):
    """Compiles models in this process from now on: the tests' own are no strangers', and a process each takes time."""

    def run(model, request, module):
        with tempfile.TemporaryDirectory() as name, monkeypatch.context() as change:
            folder = Path(name)
            for place, file in model.places.items():
                (folder / "model" / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / "model" / place).write_bytes(model.content[file])
            change.chdir(folder)
            change.setattr(model_process.limits, "limit_seconds", lambda seconds: None)
            result = model_process._compile(folder, json.loads(request), None)
            binary, sizes = (folder / "model.mjb").read_bytes(), Sizes(**result["sizes"])
            text = (folder / "model.xml").read_text(encoding="utf-8") if json.loads(request)["text"] else ""
            return Compiled(binary, sizes, tuple(result["bodies"]), result["main"], text)

    monkeypatch.setattr(own_model, "_run", run)
