"""Whatever a suite's file, a learner's options or a manifest hold: it works, or a typed error says what is wrong."""

import json
import string

import pytest
from conftest import record_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robometa import registry, suites
from robometa.errors import UserError
from robometa.policies import policy_folder
from robometa.registry.options import read_config, resolve
from robometa.storage import sealed_folder
from robometa.suites.distributions import KINDS
from robometa.suites.objectives import OBJECTIVES
from robometa.suites.robot_keys import ROBOT_KEYS
from robometa.suites.robots import ROBOTS
from robometa.suites.variations import VARIATIONS
from robometa.trials import make

PROPERTY = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SLOW = settings(PROPERTY, max_examples=25)

numbers = st.one_of(
    st.integers(-3, 12),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 1e308, float("nan"), float("inf"), 2**63]),
)
texts = st.one_of(
    st.text(max_size=12), st.sampled_from([*ROBOTS, *OBJECTIVES, *VARIATIONS, *KINDS, "../x.xml", "a\0b"])
)
anything = st.recursive(
    st.one_of(st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def toml(value):
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        signs = string.ascii_letters + string.digits + " ./_-"
        return '"' + "".join(sign if sign in signs else f"\\U{ord(sign):08x}" for sign in value) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(entry)}" for key, entry in value.items()) + "}"
    return repr(value)


distributions = st.one_of(
    anything,
    st.dictionaries(st.sampled_from([*KINDS, "exponent", "shared"]), anything, max_size=3),
    st.fixed_dictionaries({"uniform": st.lists(numbers, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"base": numbers, "exponent": st.lists(numbers, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"normal": st.lists(numbers, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"arc": st.lists(numbers, min_size=3, max_size=3)}),
    st.fixed_dictionaries({"values": st.lists(anything, max_size=4)}),
)
parameters = st.sampled_from([*VARIATIONS, "velocity", "goal", "direction", "angle"])
tasks = st.builds(
    lambda table, drawn: table | drawn,
    st.fixed_dictionaries({}, optional={"tasks": st.one_of(st.integers(0, 5), anything), "seed": anything}),
    st.dictionaries(parameters, distributions, max_size=3),
)
robots = st.one_of(
    st.sampled_from(list(ROBOTS)),
    anything,
    st.builds(
        lambda name, table: {"name": name} | table,
        st.sampled_from(list(ROBOTS)),
        st.dictionaries(st.sampled_from(list(ROBOT_KEYS)), anything, max_size=3),
    ),
)
suite_tables = st.fixed_dictionaries(
    {
        "robot": robots,
        "objective": st.one_of(st.sampled_from(list(OBJECTIVES)), anything),
        "train": tasks,
        "test": tasks,
    },
    optional={
        "horizon": st.one_of(st.integers(1, 5), anything),
        "finite": st.one_of(st.booleans(), anything),
        "coefficients": st.one_of(st.dictionaries(texts, numbers, max_size=2), anything),
        "learner": anything,
        "about": anything,
        "surprise": anything,
    },
)


def load_suite(folder, content):
    """A suite from a file's content, read anew; None if it was refused in a typed error."""
    path = folder / "suite.toml"
    path.write_bytes(content)
    try:
        return suites.load(path)
    except UserError as error:
        check_message(str(error))
        return None


def check_message(message):
    """A message says something, and can be shown whatever it quotes."""
    assert message
    assert all(sign.isprintable() or sign == "\n" for sign in message)
    assert len(message) < 4000


@PROPERTY
@given(table=suite_tables)
def test_any_table_is_a_suite_or_told_what_is_wrong(tmp_path, table):
    content = "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
    suite = load_suite(tmp_path, content.encode())
    if suite is not None:
        assert suite.train
        assert suite.test
        assert all(abs(number) < 1e200 for task in suite.train for _, value in task.parameters for number in value)


@PROPERTY
@given(content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode())))
def test_any_bytes_are_a_suite_or_told_what_is_wrong(tmp_path, content):
    assert load_suite(tmp_path, content) is None


def test_the_generator_makes_suites_that_are_right_too(tmp_path):
    good = {"robot": "point", "objective": "goal", "train": {"tasks": 2, "goal": {"arc": [1.0, 0, 3]}}}
    content = "".join(
        f"{key} = {toml(value)}\n" for key, value in (good | {"test": good["train"] | {"seed": 1}}).items()
    )
    assert load_suite(tmp_path, content.encode()) is not None


option_values = st.one_of(anything, st.lists(numbers, max_size=3), st.just(float("nan")))


@pytest.mark.parametrize("name", list(registry.LEARNERS))
@pytest.mark.sample(8)
def test_any_options_make_a_learner_or_are_told(tmp_path, tiny_suite, name):
    known = list(registry.find(name).load().configuration.__dataclass_fields__)

    @SLOW
    @given(options=st.dictionaries(st.one_of(st.sampled_from(known), texts), option_values, min_size=1, max_size=2))
    def made(options):
        try:
            resolve(tiny_suite, name, options)
        except UserError as error:
            check_message(str(error))

    made()


@pytest.fixture
def policy(tmp_path, tiny_suite):
    """A policy's folder, and what its manifest says."""
    config = read_config("maml-trpo", {"hidden": (8,), "tasks": 2, "worlds": 2})
    learner = make.build("maml-trpo", config, tiny_suite, seed=0)
    policy_folder.save_policy(tmp_path / "policy", learner, "maml-trpo", tiny_suite, record_of("maml-trpo"), "a card")
    return tmp_path / "policy", sealed_folder.read_manifest(tmp_path / "policy")


def replaced(manifest, place, value):
    """A manifest with one entry replaced, however deep."""
    copy = json.loads(json.dumps(manifest))
    table = copy
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    return copy


def places(table, above=()):
    """The place of every entry of a table."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def test_any_manifest_is_a_policy_or_told_what_is_wrong(policy):
    folder, manifest = policy
    known = list(places(manifest))

    @PROPERTY
    @given(place=st.sampled_from(known), value=st.one_of(anything, st.none()))
    def loaded(place, value):
        sealed_folder.write_manifest(folder, replaced(manifest, place, value))
        try:
            policy_folder.load_policy(folder)
        except UserError as error:
            check_message(str(error))

    loaded()
    sealed_folder.write_manifest(folder, manifest)
    assert policy_folder.load_policy(folder)[2].learner == "maml-trpo"


def test_any_bytes_in_place_of_a_manifest_are_told(policy):
    folder, _ = policy

    @PROPERTY
    @given(content=st.one_of(st.binary(max_size=100), anything.map(lambda value: json.dumps(value).encode())))
    def refused(content):
        (folder / sealed_folder.MANIFEST).write_bytes(content)
        with pytest.raises(UserError):
            policy_folder.load_policy(folder)

    refused()
