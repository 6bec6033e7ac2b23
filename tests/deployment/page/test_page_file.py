"""The page as a file: what it carries, what it refuses, and that nothing of a policy reaches its markup."""

import base64
import gzip
import json
import re
from dataclasses import replace

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


def test_a_model_that_needs_other_files_is_refused(tmp_path):
    robot = suites.load("half-cheetah-velocity").robot
    text = robot.mjcf.read_text(encoding="utf-8")
    (tmp_path / "part.xml").write_text("<mujocoinclude/>", encoding="utf-8")
    own = tmp_path / "own.xml"
    own.write_text(text.replace("<worldbody>", '<include file="part.xml"/><worldbody>'), encoding="utf-8")
    with pytest.raises(UserError, match=r"one model file, and own\.xml needs part\.xml too"):
        model_text(replace(robot, mjcf=own))


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
