"""The doctor: what it finds, what it advises, and when it says that training works."""

import re
from io import StringIO
from pathlib import Path

import pytest

from robometa.commands import doctor
from robometa.commands.main import main
from robometa.console import PlainConsole
from robometa.errors import UserError
from robometa.policies.latency import Latency
from robometa.sim.metaworld import upstream
from robometa.video import encode, gl_backends

POLICIES = Path(__file__).parents[2] / "policies"


def told() -> tuple[int, str]:
    text = StringIO()
    code = doctor.report(PlainConsole(file=text, width=120))
    return code, text.getvalue()


def test_training_works_here_and_versions_are_told():
    code, text = told()
    assert code == 0
    for name in ("python", "robometa", "torch", "mujoco", "gymnasium", "numpy", "processors", "GPU", "ffmpeg"):
        assert name in text
    assert "training works here" in text


def test_without_a_way_to_draw_training_still_works_and_the_packages_are_named(monkeypatch):
    monkeypatch.setattr(gl_backends, "works", lambda backend: False)
    code, text = told()
    assert code == 0
    assert "libegl1 libgl1-mesa-dri" in text
    assert "libosmesa6" in text


def test_one_way_to_draw_is_enough(monkeypatch):
    monkeypatch.setattr(gl_backends, "works", lambda backend: backend == "egl")
    assert "apt-get" not in told()[1]


def test_a_missing_package_stops_training(monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "gymnasium" else version(name))
    code, text = told()
    assert code == 1
    assert "gymnasium: pip install robometa" in text


def test_missing_extras_are_advised_by_name(monkeypatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in doctor.EXTRAS else version(name))
    monkeypatch.setattr(upstream.mujoco, "__version__", "4.0.0")
    code, text = told()
    assert code == 0
    assert "pip install 'robometa[metaworld]'" in text
    assert "pip install 'robometa[gpu]'" in text


def test_a_missing_ffmpeg_is_told(monkeypatch):
    def missing():
        raise UserError("no ffmpeg found: install it")

    monkeypatch.setattr(encode, "ffmpeg", missing)
    code, text = told()
    assert code == 0
    assert "no ffmpeg found" in text


def test_a_policy_is_timed_and_its_signals_are_shown(capsys):
    assert main(["doctor", str(POLICIES / "half-cheetah-velocity-no-adaptation")]) in (0, 1)
    printed = capsys.readouterr().out
    assert "qpos/bthigh [rad], -0.52 to 1.05" in printed
    assert "20 actions per second" in printed
    assert re.search(r"one action on one thread: median [\d.]+ ms, 99th percentile [\d.]+ ms", printed)
    assert "control period: 50 ms" in printed


@pytest.mark.parametrize(("late", "code", "words"), [(49.0, 0, "actions keep"), (51.0, 1, "actions do not keep")])
def test_a_policy_that_is_too_slow_is_told(monkeypatch, capsys, late, code, words):
    monkeypatch.setattr("robometa.policies.latency.latency", lambda policy: Latency(1.0, late))
    assert main(["doctor", str(POLICIES / "half-cheetah-velocity-no-adaptation")]) == code
    assert words in capsys.readouterr().out


def test_a_policy_that_is_not_there_is_told(capsys):
    assert main(["doctor", "nowhere"]) == 2
    assert "nowhere is not a policy" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["egl", "osmesa"])
def test_a_backend_that_does_not_exist_does_not_work(backend, monkeypatch):
    assert gl_backends.environment(backend)["PYOPENGL_PLATFORM"] == backend
    assert not gl_backends.works("nonsense")
