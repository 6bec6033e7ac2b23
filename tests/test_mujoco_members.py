"""Enumerations of MuJoCo: from MuJoCo 4 on, `number in (member, ...)` is false for the numbers of a model."""

import ast
from pathlib import Path

import mujoco
import pytest

import robometa
from robometa.suites import mujoco_numbers

SIMULATOR = sorted((Path(robometa.__file__).parent / "sim").rglob("*.py"))


def is_member(node):
    """True for `mujoco.mjtJoint.mjJNT_FREE`, false for the enumeration."""
    words = ast.unparse(node)
    return isinstance(node, ast.Attribute) and words.startswith("mujoco.mjt") and words.count(".") == 2


def bare(tree):
    """Lines that name a member as a constant, or compare by `in` with one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Tuple)):
            value = node.value
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            value = node.comparators[0]
        else:
            continue
        yield from (part.lineno for part in getattr(value, "elts", [value]) if is_member(part))


@pytest.mark.parametrize("path", SIMULATOR, ids=lambda path: path.stem)
def test_constants_are_numbers(path):
    lines = list(bare(ast.parse(path.read_text(encoding="utf-8"))))
    assert not lines, f"{path.name}, lines {lines}: wrap MuJoCo's members in int()"


def test_bare_members_are_found():
    found = bare(ast.parse("A, B = mujoco.mjtJoint.mjJNT_FREE, 1\nif kind in (mujoco.mjtJoint.mjJNT_BALL, A): pass"))
    assert list(found) == [1, 2]


def test_the_numbers_are_mujoco_s():
    joints = {name: int(getattr(mujoco.mjtJoint, f"mjJNT_{name}")) for name in ("FREE", "BALL", "SLIDE", "HINGE")}
    kinds = {"ON_JOINT": "JOINT", "JOINT_IN_PARENT": "JOINTINPARENT", "ON_TENDON": "TENDON"}
    moved = {name: int(getattr(mujoco.mjtTrn, f"mjTRN_{kind}")) for name, kind in kinds.items()}
    assert {name: getattr(mujoco_numbers, name) for name in (*joints, *moved)} == joints | moved
