"""The page as a file: what it carries, what it refuses, and that nothing of a policy reaches its markup."""

import base64
import gzip
import json
import re
from dataclasses import replace

import own_robots
import pytest
from node_tools import LIVE, ROOT

from robometa import suites
from robometa.commands.main import main
from robometa.deployment.page import page
from robometa.deployment.page.handles import handles_of, variations_of
from robometa.deployment.page.robot import model_text, robot_of
from robometa.errors import UserError

BLOCK = re.compile(r'<script type="text/plain" id="(\w+)">([^<]*)</script>')


def carried(text, name="policies"):
    return json.loads(gzip.decompress(base64.b64decode(dict(BLOCK.findall(text))[name])))


def test_what_a_policy_says_reaches_no_markup():
    evil = "</script><script>alert(1)</script>\u2028<!-- & ' \""
    text = page.html([{"name": evil}])
    assert carried(text) == [{"name": evil}]
    assert "alert(1)" not in text
    assert BLOCK.sub("", text) == BLOCK.sub("", page.html([]))


def test_the_browser_runs_nothing_but_the_templates_script_and_fetches_nothing():
    template = page.TEMPLATE.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', template)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!#)', template)


def test_two_pages_are_the_same_bytes():
    assert page.html([{"name": "a"}]) == page.html([{"name": "a"}])


def test_the_published_page_has_the_present_template_and_its_policies():
    text = LIVE.read_text(encoding="utf-8")
    assert len(text) < 10_000_000
    assert BLOCK.sub("", text) == BLOCK.sub("", page.html([]))
    policies = carried(text)
    assert [one["learner"] for one in policies] == ["rl2", "varibad", "maml-trpo", "rl2"]
    for one in policies:
        assert one["contract"]["suite_hash"] == suites.load(one["suite"]["name"]).content_hash
        assert one["robot"] == json.loads(json.dumps(robot_of(suites.load(one["suite"]["name"]))))


def test_the_template_is_small_enough_for_a_wheel():
    size = page.SIMULATOR.stat().st_size + len(gzip.compress(page.TEMPLATE.read_bytes()))
    assert size < 5_000_000


@pytest.mark.parametrize("name", [name for name in suites.names() if suites.load(name).family.name == "locomotion"])
@pytest.mark.sample(8)
def test_every_locomotion_suite_has_a_robot_and_handles_for_the_page(name):
    suite = suites.load(name)
    described = {"robot": robot_of(suite), "handles": handles_of(suite), "variations": variations_of(suite)}
    json.dumps(described, allow_nan=False)
    for key, _ in suite.train[0].parameters:
        assert any(one["trained"] for one in described["handles"] if one["name"] == key), key
    for one in described["handles"]:
        if "choices" in one:
            assert one["value"] in [choice["value"] for choice in one["choices"]]
        else:
            assert one["min"] <= one["value"] <= one["max"]
    asked = {one["name"] for one in described["handles"] if one["kind"] == "objective"}
    assert asked == {key for key, _ in suite.train[0].parameters if key not in described["variations"]}


TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
MESH = '<asset><mesh name="shell" file="shell.obj"/></asset>'
SHOWN = '<geom type="mesh" mesh="shell" contype="0" conaffinity="0" mass="0"/>'


def of_mesh(folder, geom):
    """The text on the page of a robot that has a mesh."""
    (folder / "shell.obj").write_text(TETRAHEDRON, encoding="utf-8")
    xml = own_robots.quadruped().replace("<default>", f"{MESH}<default>").replace("<freejoint/>", f"<freejoint/>{geom}")
    return own_robots.suite_of(folder, xml)


def test_a_mesh_that_only_shows_is_left_out_and_another_refused(tmp_path, monkeypatch):
    own_robots.compile_here(monkeypatch)
    text = model_text(of_mesh(tmp_path, SHOWN).robot)
    assert "shell" not in text
    assert 'rgba="0 0 0 0"' in text
    colliding = of_mesh(tmp_path, '<geom type="mesh" mesh="shell"/>')
    with pytest.raises(UserError, match=r"one model file, and the physics of robot\.xml need shell\.obj too"):
        robot_of(colliding)


def test_a_model_of_several_files_becomes_one(tmp_path, monkeypatch):
    own_robots.compile_here(monkeypatch)
    (tmp_path / "floor.xml").write_text(f"<mujocoinclude>{own_robots.FLOOR}</mujocoinclude>", encoding="utf-8")
    suite = own_robots.suite_of(tmp_path, own_robots.quadruped(floor='<include file="floor.xml"/>'))
    assert "include" not in model_text(suite.robot)


def test_gains_change_limits_in_the_text(tmp_path, monkeypatch):
    own_robots.compile_here(monkeypatch)
    suite = own_robots.suite_of(tmp_path, own_robots.quadruped(), "gains = { stiffness = 30, effort = 12 }")
    text = model_text(suite.robot)
    for limit in ('forcelimited="true"', 'forcerange="-12.0 12.0"', 'ctrllimited="true"'):
        assert text.count(limit) == 8


def test_rewards_of_a_program_are_refused():
    suite = replace(suites.load("half-cheetah-velocity"), objective="mine.py:Mine")
    with pytest.raises(UserError, match=r"runs no programs, and the rewards of .* are mine\.py:Mine"):
        robot_of(suite)


def test_commands_are_handles_of_their_own(tmp_path):
    path = tmp_path / "walk.toml"
    command = "[command]\nvelocity = { uniform = [0.5, 1.0] }\nyaw_rate = 0.0\n"
    task = "".join(f"[{split}]\ntasks = 1\n" for split in ("train", "test"))
    text = f'objective = "velocity"\nfinite = true\nrobot = "ant"\n{command}{task}'
    path.write_text(text, encoding="utf-8")
    asked = [one for one in handles_of(suites.load(path)) if one["kind"] == "command"]
    assert [(one["name"], one["min"], one["value"], one["max"]) for one in asked] == [
        ("velocity", 0.5, 0.75, 1.0),
        ("yaw_rate", 0.0, 0.0, 0.0),
    ]
    assert not [one for one in handles_of(suites.load(path)) if one["kind"] == "objective"]


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("half-cheetah-velocity-grbal", "grbal cannot be exported: it plans"),
        ("ml1-reach-v3-rl2", "a page shows locomotion suites, and ml1/reach-v3 is of"),
        ("half-cheetah-velocity-oracle", "finds out what is hidden, and oracle sees it"),
    ],
)
def test_what_a_page_cannot_show_is_refused_in_one_line(tmp_path, capsys, policy, message):
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    out = tmp_path / "page.html"
    assert main(["page", str(ROOT / "policies" / policy), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_page_has_each_policy_once(capsys, tmp_path):
    folder = str(ROOT / "policies" / "half-cheetah-velocity-rl2")
    assert main(["page", folder, folder, "--out", str(tmp_path / "page.html")]) == 2
    assert "policies of different names" in capsys.readouterr().err
