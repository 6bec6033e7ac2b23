"""Models at the edge: a grammar makes MJCF, and everything that opens a suite with such a robot must outlive it.

Numbers are huge, signed, odd or not finite; elements are nested, repeated, included and attached; every element and
attribute of MuJoCo's schema comes up. Each model is opened as a suite's robot and steps once; typed errors only.
"""

from __future__ import annotations

import random
import re
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mujoco

from torture.findings import Findings, Settings
from torture.trainings import Child

MINUTES, SHORT_SECONDS = 10.0, 6.0
PATIENCE = 400.0
"""Seconds that the longest model may take on top."""
SUITE = """\
robot = "model{index}.xml"
objective = "forward"
finite = true
horizon = 2
[train]
tasks = 1
[test]
tasks = 1
"""
PLAIN = ["3", "1", "2", "0", "5", "0.1", "10", "-1", "+2", "1e-3", "0.5"]
EDGES = [
    "1000000000",
    "+1000000000",
    "-1000000000",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967297",
    "99999999999999999999",
    "1e9",
    "+1e9",
    "1e30",
    "1e308",
    "-1e308",
    "1e309",
    "1e999",
    "nan",
    "-nan",
    "inf",
    "-inf",
    "+INF",
    "infinity",
    "0x10",
    "0x1p60",
    "1e",
    "1.5",
    ".5",
    "5.",
    "-",
    "+",
    "&#49;000",
    "64",
    "100",
    "1000",
    "1000K",
    "10G",
    "1e-320",
    "1e-9",
    "-0",
    "0",
    "00000000000000005",
    "1,2",
    "1;2",
]
WORDS = [
    "torso",
    "x",
    "m",
    "g",
    "s",
    "t",
    "a",
    "nan",
    "true",
    "false",
    "sphere",
    "mesh",
    "box",
    "plane",
    "user",
    "none",
    "sdf",
    "cloth",
    "grid",
    "particle",
    "hostile",
]
FILES = (
    "part.xml", "model{index}.xml", "../outside.xml", "/etc/passwd", "/dev/zero", "..\\outside.xml", "link.xml",
    "package://x/y.stl", "m.stl", "loop.xml", "file:///etc/passwd", "a" * 300, "", ".", "http://127.0.0.1/x.xml",
)  # fmt: skip
NAMED = frozenset(
    [
        "name",
        "class",
        "childclass",
        "joint",
        "body",
        "site",
        "geom",
        "mesh",
        "material",
        "texture",
        "tendon",
        "actuator",
        "camera",
    ]
)
COUNTED = (
    '<option iterations="{0}" ls_iterations="{1}" tolerance="0"/>',
    '<option noslip_iterations="{0}" ccd_iterations="{1}" timestep="{2}"/>',
    '<option sdf_iterations="{0}" sdf_initpoints="{1}"/>',
    '<size memory="{0}" nkey="{1}"/>',
    '<size nuserdata="{0}" nuser_geom="{1}" nuser_body="{2}"/>',
    '<size njmax="{0}" nconmax="{1}"/>',
    '<size nstack="{0}"/>',
    '<asset><texture name="t" type="2d" builtin="checker" width="{0}" height="{1}"/></asset>',
    '<asset><hfield name="h" nrow="{0}" ncol="{1}" size="1 1 1 1"/></asset>',
    '<custom><numeric name="n" size="{0}"/></custom>',
    '<sensor><user name="u" dim="{0}"/></sensor>',
    '<actuator><general joint="x" dyntype="user" actdim="{0}"/></actuator>',
    '<worldbody><replicate count="{0}" offset="0 0 1"><geom size="1"/>{more}</replicate></worldbody>',
    '<worldbody><composite type="cable" count="{0} 1 1" size="1" prefix="c"><geom size=".1"/>{more}</composite>'
    "</worldbody>",
    '<worldbody><flexcomp name="f" type="grid" count="{0} {1} 2" spacing=".1 .1 .1" dim="3" mass="1"/></worldbody>',
    '<worldbody><flexcomp name="f" type="grid" count="4 4 1" spacing="1 1 1" dim="2"><pin range="{0} {1}"/></flexcomp>'
    "</worldbody>",
    '<asset><model name="m" file="{file}"/></asset><worldbody><attach model="m" body="torso" prefix="p"/></worldbody>',
    '<include file="{file}"/>',
    '<INCLUDE file="{file}"/>',
    '<asset><mesh name="m" file="{file}"/></asset>',
    '<compiler meshdir="{file}" texturedir="{file}"/>',
    '<asset><mesh name="m" vertex="0 0 0 1 0 0 0 {0} 0 0 0 {1}"/></asset><worldbody><geom type="mesh" mesh="m"/>'
    "</worldbody>",
    '<keyframe><key qpos="{0}" ctrl="{1}" time="{2}"/></keyframe>',
    '<visual><quality shadowsize="{0}" numslices="{1}"/><global offwidth="{2}"/></visual>',
    '<compiler><lengthrange inttotal="{0}" timestep="{1}"/></compiler>',
    '<extension><plugin plugin="mujoco.elasticity.cable"/></extension>',
    '<worldbody>{deep}<geom size="1"/>{shallow}</worldbody>',
    '<statistic extent="{0}" meanmass="{1}"/>',
    '<worldbody><camera resolution="{0} {1}"/></worldbody>',
)
"""Elements with counts and files; the numbers come from the edges, or are plain."""


def run(settings: Settings) -> Findings:
    """Makes models and opens them, in a process that must not end before its time."""
    findings = Findings(counts={"models": 0})
    minutes = MINUTES if settings.minutes is None else settings.minutes
    seconds = SHORT_SECONDS if settings.short else 60 * minutes
    until, start = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        box = settings.folder / f"models{start}"
        tally = box / "tally"
        box.mkdir()
        child = Child(partial(_open_many, box, settings.seed, start, until), box / "log")
        code = child.wait(until - time.monotonic() + PATIENCE)
        outcomes = tally.read_text(encoding="utf-8").splitlines() if tally.exists() else []
        for outcome in outcomes:
            findings.count("models")
            findings.count(outcome)
        start += len(outcomes) + 1
        if code != 0:
            findings.fail(f"seed {settings.seed}, model {start - 1}: exit code {code}: {child.said()[-700:]}")
        if len(findings.failures) >= 20:
            break
        shutil.rmtree(box)
    return findings


def _open_many(box: Path, seed: int, start: int, until: float) -> None:
    """Opens one model after another, and notes how each ends."""
    (box / "outside.xml").write_text("<mujoco/>", encoding="utf-8")
    folder, index = box / "models", start
    folder.mkdir()
    (folder / "link.xml").symlink_to("../outside.xml")
    (folder / "loop.xml").symlink_to("loop.xml")
    grammar = Grammar(_schema())
    with (box / "tally").open("a", encoding="utf-8") as tally:
        while time.monotonic() < until:
            chance = random.Random(f"{seed} model {index}")
            (folder / "part.xml").write_text(grammar.model(chance, index), encoding="utf-8")
            (folder / f"model{index}.xml").write_text(grammar.model(chance, index), encoding="utf-8")
            outcome = _open(folder, index)
            tally.write(outcome + "\n")
            tally.flush()
            index += 1


def _open(folder: Path, index: int) -> str:
    """Opens a suite with a model, and steps its robot once; says how it ended."""
    import torch

    from robometa import suites
    from robometa.errors import UserError
    from robometa.noise import Noise
    from robometa.sim.locomotion.engine import CpuEngine

    path = folder / f"suite{index}.toml"
    path.write_text(SUITE.format(index=index), encoding="utf-8")
    try:
        suite = suites.load(path)
    except UserError:
        return "refused by the check"
    try:
        engine = CpuEngine(suite, 1, 1, threads=1)
        engine.reset(Noise(0, ("models",), 1, 1))
        engine.step(torch.zeros(1, 1, engine.spaces.action))
    except UserError as error:
        said = str(error)
        kinds = {"crashes": "crashed the child", "takes too long": "beyond the child's limits"}
        return next((kind for word, kind in kinds.items() if word in said), "refused by MuJoCo")
    return "stepped"


@dataclass
class Grammar:
    """Makes models of MuJoCo's elements and attributes."""

    schema: dict[str, Any]

    def model(self, chance: random.Random, index: int) -> str:
        """The text of a model."""
        parts = [self._part(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 3)))]
        hinge = chance.choice(("slide", "slide", "hinge", "free"))
        body = f'<body name="torso" pos="0 0 .1"><joint name="x" type="{hinge}"/><geom size="0.1"/>'
        body += (self._element("body", self.schema["body"], chance, 2) if chance.random() < 0.2 else "") + "</body>"
        text = f'<mujoco><worldbody><geom type="plane" size="5 5 1"/>{body}</worldbody>{"".join(parts)}'
        text += '<actuator><motor joint="x"/></actuator></mujoco>'
        text = text.replace("{file}", chance.choice(FILES)).replace("{index}", str(index))
        return self._torn(text, chance) if chance.random() < 0.08 else text

    def _part(self, chance: random.Random) -> str:
        """One element beside the robot: one with a count, or any of the schema."""
        if chance.random() < 0.35:
            tag = chance.choice([tag for tag in self.schema if tag not in ("extension", "body")])
            return self._element(tag, self.schema[tag], chance, 0)
        text, depth = chance.choice(COUNTED), chance.choice((1, 20, 90, 200, 20_000))
        more = "".join(f'<replicate count="{chance.choice((2, 30, 900))}">' for _ in range(3)) + '<geom size="1"/>'
        text = text.replace("{more}", chance.choice(("", more + "</replicate>" * 3)))
        text = text.replace("{deep}", "<body>" * depth).replace("{shallow}", "</body>" * depth)
        edge = chance.random() < 0.5
        return re.sub(r"\{\d\}", lambda _: chance.choice(EDGES if edge else PLAIN), text)

    def _element(self, tag: str, schema: dict[str, Any], chance: random.Random, depth: int) -> str:
        """An element of the schema with some of its attributes and children."""
        names = chance.sample(schema["attributes"], min(len(schema["attributes"]), chance.randrange(5)))
        held = " ".join(f'{name}="{self._value(name, chance)}"' for name in names)
        kinds = [kind for kind in schema["children"] if kind != "plugin"]
        chosen = chance.sample(kinds, min(len(kinds), chance.randrange(3))) if depth < 4 else []
        inner = "".join(self._element(kind, schema["children"][kind], chance, depth + 1) for kind in chosen)
        return f"<{tag} {held}>{inner}</{tag}>"

    def _value(self, name: str, chance: random.Random) -> str:
        if name.startswith("file") or name.endswith("dir"):
            return "{file}"
        if name in NAMED or chance.random() < 0.25:
            return chance.choice(WORDS)
        pool = EDGES if chance.random() < 0.3 else PLAIN
        return " ".join(chance.choice(pool) for _ in range(chance.choice((1, 1, 2, 3, 3, 4, 5))))

    def _torn(self, text: str, chance: random.Random) -> str:
        """A text that is not quite XML, or other XML than it seems."""
        return chance.choice(
            (
                text.replace("<mujoco>", '<mujoco model="&x;">'),
                text.replace("<mujoco>", '<mujoco xmlns="http://x">'),
                '<!DOCTYPE m [<!ENTITY e "&e;">]>' + text,
                text[: chance.randrange(len(text))],
                text.replace('"', "", 1),
                '<?xml version="1.0" encoding="utf-16"?>' + text,
                text.replace("<geom", "<geom\0", 1),
                text.replace("<mujoco>", "<robot name='r'><link name='torso'/>").replace("</mujoco>", "</robot>"),
                text + text,
            )
        )


def _schema() -> dict[str, Any]:
    """The elements of MuJoCo's schema below the root, with their attributes and children."""
    root: dict[str, Any] = {"attributes": [], "children": {}}
    open_at: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    for line in mujoco.mj_printSchema(False, False).splitlines():
        begin = re.match(r"( *)(?:\(world\))?(\w+) \(.\) *(.*)", line)
        if begin is None:
            open_at[-1][1]["attributes"] += line.split()
            continue
        element: dict[str, Any] = {"attributes": begin[3].split(), "children": {}}
        while open_at[-1][0] >= len(begin[1]):
            open_at.pop()
        open_at[-1][1]["children"][begin[2]] = element
        open_at.append((len(begin[1]), element))
    return dict(root["children"]["mujoco"]["children"])
