"""Hostile suite files and robot models; each name comes with what writes `hostile.toml` and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

Made = tuple[str, Callable[[Path], object]]

SUITE = """\
robot     = {robot}
objective = "forward"
finite    = true
horizon   = 5
{more}
[train]
tasks = 2
[test]
tasks = 2
seed = 1
"""
GOOD = """\
robot     = "point"
objective = "goal"
horizon   = {horizon}
{more}
[train]
tasks = {tasks}
goal  = {goal}
[test]
tasks = 2
seed  = 1
goal  = {{ arc = [1.0, 0.0, 3.0] }}
"""
BODY = '<body name="torso"><joint name="x" type="slide" axis="1 0 0"/><geom size="0.1"/>{more}</body>'
MODEL = """\
<mujoco>{top}<worldbody>{world}</worldbody>
<actuator><motor joint="x"/></actuator></mujoco>
"""


def suite_cases() -> Iterator[Made]:
    """TOML that is deep, long, large or of the wrong kind."""
    usual = {"horizon": "5", "more": "", "tasks": "2", "goal": "{ arc = [1.0, 0.0, 3.0] }"}
    changes = {
        "a deep list": {"more": "about = " + "[" * 50_000 + "]" * 50_000},
        "a deep table": {"more": "about = " + "{a=" * 50_000 + "1" + "}" * 50_000},
        "a deep key": {"more": "about" + ".a" * 20_000 + " = 1"},
        "a long number": {"horizon": "9" * 10_000},
        "a number beyond any float": {"goal": "[" + "9" * 400 + ", 1.0]"},
        "a range beyond any float": {"goal": "{ uniform = [0, " + "9" * 400 + "] }"},
        "a coefficient beyond any float": {"more": "[coefficients]\ncontrol = " + "9" * 400 + "\n"},
        "no number": {"goal": "[nan, inf]"},
        "a date": {"goal": "1979-05-27"},
        "a date for a robot": {"more": "learner = 1979-05-27"},
        "10**9 tasks": {"tasks": "1000000000"},
        "values for nobody": {"goal": "{ values = [" + "[0.0, 1.0]," * 100_000 + "] }"},
        "a horizon without end": {"horizon": "1000000000000"},
        "a horizon below nothing": {"horizon": "-1"},
        "100,000 keys": {"more": "\n".join(f"key{index} = 1" for index in range(100_000))},
        "a power beyond any float": {"goal": "{ base = 1e300, exponent = [300, 301] }"},
        "a radius beyond any float": {"goal": "{ disc = 1e309 }"},
        "a key that clears the screen": {"more": '"\\u001b[2J" = 1'},
        "a robot that clears the screen": {"more": '"robot\\u0007" = 1'},
    }
    for name, change in changes.items():
        text = GOOD.format(**usual | change)
        yield f"suite: {name}", lambda files, text=text: _write(files, text)
    robots = {
        "a robot outside": '"../../../../../../etc/passwd.xml"',
        "a robot that is a device": '{ mjcf = "/dev/zero" }',
        "a robot that is the memory": '{ mjcf = "/proc/kcore" }',
        "a robot that is a folder": '{ mjcf = "." }',
        "a robot of numbers": "[1, 2]",
        "a robot that is a date": "1979-05-27",
        "a robot of both": '{ name = "ant", mjcf = "x.xml" }',
        "a robot with a mask of numbers": '{ name = "point", height = [nan, nan] }',
        "a robot with numbers beyond any float": '{ name = "point", reset_noise = ' + "9" * 400 + " }",
        "a robot with a null byte": '{ mjcf = "a\\u0000b" }',
        "a robot of a long name": '{ mjcf = "' + "x" * 100_000 + '" }',
    }
    for name, robot in robots.items():
        text = SUITE.format(robot=robot, more="")
        yield f"suite: {name}", lambda files, text=text: _write(files, text)
    yield "suite: bytes", lambda files: (files / "hostile.toml").write_bytes(bytes(range(256)) * 100)


def model_cases() -> Iterator[Made]:
    """MJCF that reaches outside, or eats memory."""
    plain = BODY.format(more="")
    deep = "<body>" * 20_000 + "</body>" * 20_000
    bomb = "<!DOCTYPE m [" + '<!ENTITY a0 "aaaaaaaaaa">'
    bomb += "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)) + "]>"
    mesh = '<asset><mesh name="m" file="{}"/></asset>'
    texture = '<asset><texture name="t" type="2d" builtin="checker" width="{0}" height="{0}"/></asset>'
    models = {
        "a file included from outside": MODEL.format(top='<include file="../outside.xml"/>', world=plain),
        "a file included by its whole path": MODEL.format(top='<include file="/etc/passwd"/>', world=plain),
        "a file that includes itself": MODEL.format(top='<include file="hostile.xml"/>', world=plain),
        "a device included": MODEL.format(top='<include file="/dev/zero"/>', world=plain),
        "a mesh from outside": MODEL.format(top=mesh.format("../outside.stl"), world=plain),
        "a mesh that is the password file": MODEL.format(top=mesh.format("/etc/passwd"), world=plain),
        "a mesh that is a device": MODEL.format(top=mesh.format("/dev/zero"), world=plain),
        "meshes from a folder outside": MODEL.format(
            top='<compiler meshdir="../"/>' + mesh.format("outside.stl"), world=plain
        ),
        "a texture from outside": MODEL.format(
            top='<asset><texture name="t" type="2d" file="../outside.png"/></asset>', world=plain
        ),
        "a model attached from outside": MODEL.format(
            top='<asset><model name="m" file="../outside.xml"/></asset>', world=plain
        ),
        "a plugin": MODEL.format(top='<extension><plugin plugin="os.system"/></extension>', world=plain),
        "entities": bomb + MODEL.format(top='<custom><text name="t" data="&a9;"/></custom>', world=plain),
        "an entity from outside": '<!DOCTYPE m [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        + MODEL.format(top='<custom><text name="t" data="&e;"/></custom>', world=plain),
        "bodies 20,000 deep": MODEL.format(top="", world=BODY.format(more=deep)),
        "10**9 copies": MODEL.format(
            top="", world=plain + '<replicate count="1000000000" offset="0 0 1"><geom size="1"/></replicate>'
        ),
        "copies of copies": MODEL.format(
            top="",
            world=plain + '<replicate count="1000" offset="0 0 1">' * 4 + '<geom size="1"/>' + "</replicate>" * 4,
        ),
        "a texture of 10**10 points": MODEL.format(top=texture.format(100_000), world=plain),
        "a height field of 10**10 points": MODEL.format(
            top='<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>', world=plain
        ),
        "a terabyte of memory": MODEL.format(top='<size memory="1000G"/>', world=plain),
        "10**9 user numbers": MODEL.format(top='<size nuserdata="1000000000"/>', world=plain),
        "10**9 keys": MODEL.format(top='<size nkey="1000000000"/>', world=plain),
        "a step that is no number": MODEL.format(top='<option timestep="nan"/>', world=plain),
        "a step of nothing": MODEL.format(top='<option timestep="0"/>', world=plain),
        "nothing": "",
        "no model": "<html></html>",
        "half a model": MODEL.format(top="", world=plain)[:60],
        "no motor": f"<mujoco><worldbody>{plain}</worldbody></mujoco>",
    }
    for name, text in models.items():
        yield f"model: {name}", lambda files, text=text: _write_model(files, text)


def _write(files: Path, text: str) -> None:
    (files / "hostile.toml").write_text(text, encoding="utf-8")


def _write_model(files: Path, text: str) -> None:
    """The model in a folder of its own, and valid files outside that it has no business with."""
    files.joinpath("hostile.xml").write_text(text, encoding="utf-8")
    _write(files, SUITE.format(robot='"hostile.xml"', more=""))
    outside = files.parent
    (outside / "outside.xml").write_text("<mujoco><option gravity='0 0 -1'/></mujoco>", encoding="utf-8")
    cube = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    facets = "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {' '.join(map(str, cube[(start + step) % 8]))}\n" for step in (0, 1, 3))
        + "endloop\nendfacet\n"
        for start in range(8)
    )
    (outside / "outside.stl").write_text(f"solid cube\n{facets}endsolid cube\n", encoding="utf-8")
