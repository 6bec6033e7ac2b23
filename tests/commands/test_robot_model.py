"""A suite that `robometa suites ROBOT.xml` prints can be read again, whatever a model's names hold."""

import tomllib

import pytest

from robometa import suites
from robometa.commands.main import main
from tests.own_robots import compile_here, quadruped

ODD = 't\N{ROBOT FACE}\x7f\x85\u202e"\\]\n'
WRITTEN = "t\N{ROBOT FACE}&#x7f;&#x85;&#x202e;&quot;\\]&#10;"


@pytest.mark.parametrize("file", ["robot.xml", 'r\x1b[2J\u202e\N{ROBOT FACE}"\x85.xml'])
def test_what_it_prints_is_toml_and_inert(tmp_path, monkeypatch, capsys, file):
    compile_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    text = quadruped().replace('"trunk"', f'"{WRITTEN}"').replace('"home"', f'"{WRITTEN}"')
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert main(["suites", file]) == 0
    said = capsys.readouterr().out
    assert "".join(said.split("\n")).isprintable()
    robot = tomllib.loads(said.partition("checks it:")[2])["robot"]
    assert (robot["mjcf"], robot["body"], robot["keyframe"]) == (file, ODD, ODD)


def test_lines_for_a_robot_on_legs_work_as_they_are(tmp_path, monkeypatch, capsys):
    compile_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot.xml").write_text(quadruped(kind="motor", more='ctrlrange="-20 20"', ctrl=""), encoding="utf-8")
    assert main(["suites", "robot.xml"]) == 0
    text = capsys.readouterr().out.partition("checks it:")[2]
    told = "".join(line.removeprefix("# ") + "\n" for line in text.splitlines() if not line.startswith("# For"))
    (tmp_path / "mine.toml").write_text(told, encoding="utf-8")
    assert [term.kind for term in suites.load(tmp_path / "mine.toml").robot.terms][-1] == "last_action"
    assert "gains" in told


def test_a_name_that_is_no_text_is_a_mistake(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["suites", "a\udcff.xml"]) == 2
    assert "must be UTF-8" in capsys.readouterr().err
