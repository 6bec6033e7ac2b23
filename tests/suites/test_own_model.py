"""A user's own model is compiled in a process of its own: what that process does never harms this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mujoco
import pytest

from robometa.errors import UserError
from robometa.sim.locomotion.models import from_binary
from robometa.suites import own_model
from robometa.suites.own_model import compile_apart
from robometa.suites.robots import Sizes

TORSO = '<body name="torso"><joint name="x" type="slide" axis="1 0 0"/><geom size="0.1"/></body>'
ROBOT = (
    "<mujoco>{top}<worldbody>"
    + TORSO
    + '<geom type="plane" size="5 5 1"/></worldbody><actuator><motor joint="x"/></actuator></mujoco>'
)
BEGIN = "import os, signal, sys, time\nfrom pathlib import Path\n"
MAIN = "from robometa.suites import model_process\n{change}\nmodel_process.main(Path(sys.argv[1]){edit})\n"


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / "robot.xml"
    path.write_text(ROBOT.format(top=""), encoding="utf-8")
    return path


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Writes a module for the process to run, and returns its name."""
    monkeypatch.setattr(own_model, "_kept", {})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))

    def write(program):
        (tmp_path / "another_process.py").write_text(BEGIN + program, encoding="utf-8")
        return "another_process"

    return write


def test_it_is_the_model_that_mujoco_compiles(robot):
    compiled = compile_apart(robot)
    own = mujoco.MjModel.from_xml_path(str(robot))
    mujoco.mj_saveModel(own, str(robot.with_name("own.mjb")))
    assert compiled.binary == robot.with_name("own.mjb").read_bytes()
    assert compiled.sizes == Sizes(bodies=1, geoms=2, velocities=1, actuators=1, timestep=0.002, driven=1)


def test_sensors_are_added(robot):
    model = from_binary(compile_apart(robot, (("place", "FRAMEPOS", "XBODY", "torso"),)).binary)
    assert model.sensor(0).name == "place"


def test_it_is_compiled_once_until_a_file_changes(tmp_path, process):
    program = MAIN.format(change=f"Path({str(tmp_path)!r}, 'ran').open('a').write('x')", edit="")
    path, module = tmp_path / "robot.xml", process(program)
    path.write_text(ROBOT.format(top='<asset><texture name="t" type="2d" file="t.png"/></asset>'), encoding="utf-8")
    for side in (1, 1, 2):
        picture = f"P6 {side} 1 255 ".encode() + bytes(3 * side)
        (tmp_path / "t.png").write_bytes(picture)
        with pytest.raises(UserError):  # it is no PNG: failures are not kept
            compile_apart(path, module=module)
    path.write_text(ROBOT.format(top=""), encoding="utf-8")
    assert compile_apart(path, module=module) == compile_apart(path, module=module)
    path.write_text(ROBOT.format(top="<option timestep='0.1'/>"), encoding="utf-8")
    assert from_binary(compile_apart(path, module=module).binary).opt.timestep == 0.1
    assert (tmp_path / "ran").read_text() == "x" * 5


def test_the_process_sees_only_a_copy_of_what_was_checked(tmp_path, robot, process):
    (tmp_path / "secret.txt").write_text("not named by the model")
    program = MAIN.format(
        change="", edit=", lambda spec: (_ for _ in ()).throw(ValueError(sorted(os.listdir('model'))))"
    )
    with pytest.raises(UserError, match=r"robot\.xml is not a model that MuJoCo can load: \['robot\.xml'\]"):
        compile_apart(robot, module=process(program))


def test_mujocos_fault_names_the_users_file_and_no_copy(tmp_path):
    (tmp_path / "robot.xml").write_text(ROBOT.format(top='<asset><mesh file="missing.stl"/></asset>'), encoding="utf-8")
    with pytest.raises(UserError, match=r"robot\.xml is not a model that MuJoCo can load: .*missing\.stl") as told:
        compile_apart(tmp_path / "robot.xml")
    assert ".writing" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"MuJoCo crashes while compiling it \(SIGSEGV\)"),
        (
            "Path(sys.argv[1], 'stepping').touch(); os.abort()",
            r"MuJoCo crashes while taking its first steps \(SIGABRT\)",
        ),
        ("sys.exit('no room')", "the process ended with exit code 1 while compiling it: no room"),
        ("sys.exit(0)", "the process ended with exit code 0 while compiling it"),
        ("time.sleep(600)", "compiling it takes too long, or too much memory"),
        (
            MAIN.format(change="model_process.COMPILE_SECONDS = 0", edit=", lambda spec: [0 for _ in iter(int, 1)]"),
            "compiling it takes too long, or too much memory",
        ),
        (MAIN.format(change="", edit=", lambda spec: bytearray(1 << 34)"), "it needs more than 4 GB of memory"),
        (
            MAIN.format(change="model_process.MAX_BINARY = 10", edit=""),
            "compiled, it takes 0 MiB, and at most 0 are taken",
        ),
        (
            MAIN.format(
                change="model_process.MAX_BINARY = 10; model_process.MAX_DRAWN = 20", edit=", lambda spec: None"
            ),
            "compiled, it takes 0 MiB, and at most 0 are taken",
        ),
        (
            MAIN.format(
                change="import mujoco\nmujoco.mj_saveModel = lambda model, path: Path(path).write_bytes(b'half')",
                edit="",
            ),
            "no room on the disk for the compiled model",
        ),
    ],
)
def test_a_crash_a_hang_and_a_hunger_for_memory_are_a_sentence(robot, process, monkeypatch, program, told):
    if "sleep" in program:
        monkeypatch.setattr(own_model, "PATIENCE", 1.0)
    with pytest.raises(UserError, match=f"^robot.xml is not a model that MuJoCo can load: {told}"):
        compile_apart(robot, module=process(program))


def test_a_model_that_is_drawn_may_be_larger_than_one_of_each_task(robot, process):
    program = MAIN.format(change="model_process.MAX_BINARY = 10", edit=", lambda spec: None")
    assert compile_apart(robot, module=process(program)).sizes.bodies == 1


def test_a_hang_in_the_first_steps_is_a_sentence(robot, process):
    program = MAIN.format(
        change="import mujoco\nmodel_process.STEP_SECONDS = 0\nmodel_process.STEPS = 10**12",
        edit="",
    )
    with pytest.raises(UserError, match="taking its first steps takes too long, or too much memory"):
        compile_apart(robot, module=process(program))


INTERRUPTED = """
import sys
from pathlib import Path
from robometa.suites.own_model import compile_apart
try:
    compile_apart(Path(sys.argv[1]), module="another_process")
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("whom", ["parent", "child"])
def test_ctrl_c_ends_it_at_once(tmp_path, robot, process, whom):
    process(
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        f"Path({str(tmp_path)!r}, 'child.new').write_text(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'child.new')!r}, {str(tmp_path / 'child')!r})\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(robot)], stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "child").exists() and time.monotonic() < until:
            time.sleep(0.02)
        child = int((tmp_path / "child").read_text())
        os.kill(parent.pid if whom == "parent" else child, signal.SIGINT)
        assert parent.communicate(timeout=60)[0] == "interrupted\n"
        assert not Path(f"/proc/{child}").exists()
    finally:
        parent.kill()


def test_mujoco_leaves_no_log_behind(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "robot.xml").write_text(
        ROBOT.format(top='<option gravity="3e9 0 0" timestep="0.9"/>'), encoding="utf-8"
    )
    compile_apart(tmp_path / "robot.xml")
    assert list((tmp_path / "here").iterdir()) == []


def test_old_models_make_room(robot, process, monkeypatch):
    monkeypatch.setattr(own_model, "KEPT", 1)
    compile_apart(robot)
    compile_apart(robot, (("place", "FRAMEPOS", "XBODY", "torso"),))
    assert len(own_model._kept) == 1
    monkeypatch.setattr(own_model, "KEPT_BYTES", 0)
    monkeypatch.setattr(own_model, "_kept", {})
    compile_apart(robot)
    assert not own_model._kept


def test_it_ends_with_a_parent_that_is_killed(tmp_path, robot, process):
    """In the midst of C code too, which this loop stands for: no other thread of Python runs meanwhile."""
    child = tmp_path / "child"
    written = f"{child}.new"
    hang = (
        f"Path({written!r}).write_text(str(os.getpid())), os.rename({written!r}, {str(child)!r}), "
        "sys.setswitchinterval(1000), [0 for _ in iter(int, 1)]"
    )
    process(MAIN.format(change="", edit=f", lambda spec: ({hang})"))
    parent = subprocess.Popen([sys.executable, "-P", "-c", INTERRUPTED, str(robot)])
    try:
        until = time.monotonic() + 60
        while not child.exists() and time.monotonic() < until:
            time.sleep(0.02)
        number = int(child.read_text())
    finally:
        parent.kill()
        parent.wait()
    until = time.monotonic() + 20
    while _runs(number) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _runs(number)


def _runs(process):
    """Tests if a process runs, and is not one that ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
