"""The house's floors: a module imports from its own floor or from below, and nobody imports in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import robometa

PACKAGE = Path(robometa.__file__).parent
FLOORS = (
    # 0: what everyone shares
    {"errors", "escape", "console", "noise", "data", "progress", "compute"},
    # 1: descriptions, and what is written to disk
    {"suites", "storage"},
    # 2
    {"reports"},
    # 3
    {"nn"},
    # 4
    {"rl"},
    # 5: learners and simulator, which do not know each other
    {"learners", "sim"},
    # 6
    {"registry"},
    # 7: where they meet
    {"trials"},
    # 8
    {"policies", "conformance"},
    # 9
    {"evaluation"},
    # 10
    {"training", "deployment"},
    # 11
    {"video", "search"},
    # 12: the command line
    {"commands"},
    # 13: the doors
    {"__main__", ""},
)
"""Folders, and the few modules beside them."""
EXCEPTIONS = {
    ("", "compute.mujoco_gl"): "lets MuJoCo be imported where MUJOCO_GL names a backend that is missing",
    ("", "sim.gym.registration"): "registers the suites with Gymnasium as soon as both are loaded",
}
"""Imports that break a rule, and why they may."""
DOORS = {"", "suites", "registry"}
"""Folders whose `__init__` has names of their modules."""
BACK = {
    ("reports.compare", "reports.export"): "a comparison writes itself as a table",
    ("reports.compare", "reports.html"): "a comparison writes itself as a page",
    ("reports.report", "reports.notebook"): "a report shows itself in a notebook",
    ("reports.csv_tables", "reports.report"): "names the type of what it writes",
    ("commands.seed_job", "commands.main"): "a child runs a command line",
    ("commands.seeds_screen", "commands.seeds_jobs"): "names the type of what it shows",
}
"""Imports that go back, within a function or for the type checker, and why they may."""


def modules():
    """Every module of the package by its name without the package's, and its file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def floor(module):
    """The number of the floor that a module stands on: that of its folder."""
    return next(number for number, names in enumerate(FLOORS) if module.split(".")[0] in names)


def inner(name):
    """The package's module that a dotted name means, or None: `robometa.noise.Noise` is of `noise`."""
    if name.split(".")[0] != "robometa":
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def imports(module, inside=True):
    """The package's modules that a module imports; those in functions and for the type checker count too."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            found |= {inner(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative path"
            found |= {inner(f"{node.module}.{alias.name}") for alias in node.names}
    return found - {None, module}


def loaded(module):
    """What a module imports as soon as it is loaded itself."""
    return imports(module, inside=False)


def test_every_module_has_a_floor():
    for module in MODULES:
        assert isinstance(floor(module), int), module
    named = set.union(*FLOORS)
    assert named <= {module.split(".")[0] for module in MODULES}, "floors of what is no more"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    if module == "":  # the front door names what lives above it, and loads it when it is asked for
        assert loaded(module) <= {other for door, other in EXCEPTIONS if door == ""}
        return
    for other in imports(module):
        assert floor(other) <= floor(module), f"{module} (floor {floor(module)}) imports {other} (floor {floor(other)})"


def test_nobody_imports_in_a_circle():
    """Imports within functions and for the type checker count too; those of a front door only when it is loaded."""
    reached = {module: loaded(module) if module in DOORS else imports(module) - DOORS for module in MODULES}
    for module, other in BACK:
        assert other in reached[module], f"{module} does not import {other} any more"
        reached[module] -= {other}
    try:
        TopologicalSorter(reached).prepare()
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


def test_learners_and_simulator_do_not_know_each_other():
    for module in MODULES:
        others = {other.split(".")[0] for other in imports(module)}
        if module.split(".")[0] == "learners":
            assert "sim" not in others, module
        if module.split(".")[0] == "sim":
            assert "learners" not in others, module


def test_no_learner_imports_another():
    shared = {"learners", "learners.protocol"}
    for module in MODULES:
        if module.startswith("learners.") and module not in shared:
            assert not {other for other in imports(module) if other.startswith("learners")} - shared, module


def test_suites_need_the_standard_library_only():
    """Listing suites must load neither torch nor MuJoCo: what `suites` reaches imports nothing else when loaded."""
    reached, waiting = set(), {"suites", "errors", "commands.main"}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= loaded(module) - reached
        tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
        assert not {name.split(".")[0] for name in names} & {"torch", "numpy", "mujoco", "scipy", "gymnasium"}, module
