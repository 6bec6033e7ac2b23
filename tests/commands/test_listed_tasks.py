"""What `robometa suites NAME` prints of a suite's tasks."""

import re

from robometa.commands.main import main


def test_a_task_of_more_than_a_line_stays_one_to_the_eye(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["suites", "half-cheetah-terrain"]) == 0
    listed = capsys.readouterr().out.partition("train: 60 tasks\n")[2].splitlines()[:12]
    begun = [line for line in listed if re.match(r" {2}[ \d]{2}\d {2}\S", line)]
    assert 1 < len(begun) < len(listed)
    assert all(line.startswith(" " * 7) for line in listed if line not in begun)
    assert all(len(line.rstrip()) <= 40 for line in listed)
