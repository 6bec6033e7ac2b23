"""Files of strangers: nothing of the package executes what it reads, and what is spoilt is told in typed errors."""

import ast
from pathlib import Path

import pytest

import robometa
from robometa import suites
from robometa.errors import UserError
from torture.corpus_suites import suite_cases

PACKAGE = Path(robometa.__file__).parent
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "copyreg",
    "runpy",
    "code",
}
NAMES = {"eval", "exec", "compile", "__import__", "execfile"}
MAY = {
    ("__init__.py", "import_module"): "loads what the package's own table names, when it is asked for",
    ("registry/user_file.py", "exec_module"): "runs the file of a learner of the user's own, which the user names",
    ("sim/gym/registration.py", "exec_module"): "wraps the import of Gymnasium, to register the suites after it",
    ("trials/workers/pool.py", "pickle"): "reads what its own processes send it through a nameless pipe",
    ("trials/workers/worker.py", "pickle"): "reads what its own parent hands it in nameless memory",
    ("compute/mujoco_gl.py", "exec_module"): "wraps the import of MuJoCo's module of OpenGL, to try it twice",
    ("registry/entry.py", "import_module"): "loads the learners of this package by the names in its own table",
}
LOADERS = {"torch", "np", "numpy", "jit", "hub", "PPO", "SAC", "TD3", "A2C", "BaseAlgorithm", "yaml", "joblib", "dill"}
"""Whose `load` may execute what it reads."""


def dotted(node):
    """A dotted name as text, or the end of one: `torch.load`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def faults(source, where):
    """What in a program may execute what it reads."""
    found = []
    allowed = {name for place, name in MAY if place == where}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            roots = {node.module or ""} if isinstance(node, ast.ImportFrom) else set(names)
            found += [f"import of {root}" for root in roots - allowed if root.split(".")[0] in MODULES]
            if isinstance(node, ast.ImportFrom) and (node.module or "") in LOADERS | {"builtins"}:
                found += [f"import of {name}" for name in names if name in NAMES | {"load", "save"}]
        elif isinstance(node, ast.Name) and node.id in NAMES:
            found.append(node.id)
        elif isinstance(node, ast.Attribute):
            owner, _, name = dotted(node).rpartition(".")
            last = owner.rpartition(".")[2]
            if name in ("exec_module", "import_module", "load_module") and (where, name) not in MAY:
                found.append(name)
            if (last in ("builtins", "__builtins__") and name in NAMES) or (
                last == "os" and name in ("system", "popen")
            ):
                found.append(f"{last}.{name}")
            if last in LOADERS - {"np", "numpy"} and name in ("load", "load_state_dict_from_url"):
                found.append(f"{last}.{name}")
        elif isinstance(node, ast.Call):
            words = {word.arg: word.value for word in node.keywords}
            refused = isinstance(words.get("allow_pickle"), ast.Constant) and words["allow_pickle"].value is False
            if dotted(node.func) in ("np.load", "numpy.load") and not refused:
                found.append("np.load without allow_pickle=False")
            if "allow_pickle" in words and not refused:
                found.append("allow_pickle")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_execute_what_it_reads(path):
    where = path.relative_to(PACKAGE).as_posix()
    assert not faults(path.read_text(encoding="utf-8"), where)


def test_the_exceptions_are_needed():
    for where, name in MAY:
        assert name in (PACKAGE / where).read_text(encoding="utf-8"), f"{where} has no {name} any more"


@pytest.mark.parametrize(
    "program",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import a, marshal",
        "import shelve",
        "from cloudpickle import load",
        "def f():\n    import dill",
        "eval('1')",
        "run = exec",
        "import builtins\nbuiltins.exec('1')",
        "from builtins import exec as run",
        "torch.load('x')",
        "from torch import load",
        "torch.jit.load('x')",
        "torch.hub.load('x', 'y')",
        "np.load('x')",
        "np.load('x', allow_pickle=True)",
        "numpy.load('x', allow_pickle=flag)",
        "np.savez('x', allow_pickle=True)",
        "PPO.load('x.zip')",
        "stable_baselines3.SAC.load('x.zip')",
        "spec.loader.exec_module(module)",
        "importlib.import_module(name)",
        "os.system('x')",
    ],
)
def test_what_can_execute_is_found(program):
    assert faults(program, "somewhere.py")


@pytest.mark.parametrize(
    "program", ["np.load('x', allow_pickle=False)", "json.load(f)", "learner.load_state_dict(state)", "x.save(y)"]
)
def test_what_cannot_is_not(program):
    assert not faults(program, "somewhere.py")


SUITES = dict(suite_cases())


@pytest.mark.parametrize("name", SUITES)
def test_a_hostile_suite_is_answered_with_a_typed_error(name, tmp_path):
    SUITES[name](tmp_path)
    with pytest.raises(UserError) as told:
        suites.load(tmp_path / "hostile.toml")
    message = str(told.value)
    assert len(message) < 4000
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in message)
