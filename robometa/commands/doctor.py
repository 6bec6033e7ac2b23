"""`robometa doctor`: a check of this machine against robometa's requirements, and of a policy's speed on it."""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option
from robometa.suites import metaworld

if TYPE_CHECKING:
    from robometa.console import PlainConsole, WholeTable

ABOUT = "check this machine: versions, GPU, rendering, a policy's speed"

NEEDED = ("robometa", "torch", "mujoco", "gymnasium", "numpy")
EXTRAS = {"mujoco-warp": "simulation on a GPU"}
"""Packages of an extra, and their purpose."""
EXTRA_NAMES = {"mujoco-warp": "gpu"}


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    name: str
    result: str
    """Version, or another short description."""
    good: bool
    advice: str = ""
    """Remedy, such as a command to run."""
    needed: bool = False
    """True if training is impossible without it."""


def add_to(commands: Commands) -> Parser:
    """Adds the command."""
    example = "robometa doctor policies/half-cheetah-velocity-rl2"
    parser = commands.add("doctor", ABOUT, _run, example)
    about = "folder of a policy or a run, to time its actions"
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, nargs="?", help=about)
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> int:
    from robometa.console import PlainConsole

    if asked.policy is None:
        return report(PlainConsole())
    hints.require_policy(asked.policy)
    return report_speed(PlainConsole(), asked.policy, asked.learner)


def report_speed(console: PlainConsole, folder: Path, learner: str | None = None) -> int:
    """Prints a policy's signals and the time of one of its actions.

    Args:
        console: Prints to this one.
        folder: Folder of a policy or a run.
        learner: `FILE.py:CLASS`, for a policy of your own learner.

    Returns:
        0 if 99 of 100 actions are within the control period, else 1.
    """
    from robometa.policies.latency import latency
    from robometa.training.load import load

    policy = load(folder, learner=learner)
    measured, period = latency(policy), 1000 / policy.spaces.control_hz
    lines = (
        policy,
        policy.spaces,
        f"one action on one thread: median {measured.median_ms:.2f} ms, 99th percentile {measured.p99_ms:.2f} ms",
        f"control period: {period:g} ms, which these actions {'keep' if measured.p99_ms < period else 'do not keep'}",
    )
    for line in lines:
        console.print(str(line), soft_wrap=True)
    return 0 if measured.p99_ms < period else 1


def report(console: PlainConsole) -> int:
    """Prints every finding and its advice.

    Args:
        console: Prints to this one.

    Returns:
        0 if training works on this machine, else 1.
    """
    findings = examine()
    console.print(_table(findings))
    for finding in findings:
        if finding.advice:
            console.print(f"{finding.name}: {finding.advice}", soft_wrap=True)
    works = all(finding.good for finding in findings if finding.needed)
    console.print("training works here" if works else "training does not work here", style="bold")
    return 0 if works else 1


def examine() -> list[Finding]:
    """Runs every check, those that training needs first."""
    return [
        Finding("python", platform.python_version(), True, needed=True),
        *(_package(name) for name in NEEDED),
        _processors(),
        _gpu(),
        *_drawing(),
        _ffmpeg(),
        _metaworld(),
        *(_extra(package, purpose) for package, purpose in EXTRAS.items()),
    ]


def _table(findings: Sequence[Finding]) -> WholeTable:
    from robometa.console import WholeTable, styled

    table = WholeTable("", " ", "  ", prose=(" ", "  "))
    table.show_header = False
    for finding in findings:
        bad = styled("missing", "red") if finding.needed else styled("no", "yellow")
        mark = styled("ok", "green") if finding.good else bad
        table.add_row(mark, finding.name, finding.result)
    return table


def _package(name: str) -> Finding:
    version = _version(name)
    if version is None:
        return Finding(name, "not installed", False, "pip install robometa", needed=True)
    return Finding(name, version, True, needed=True)


def _extra(package: str, purpose: str) -> Finding:
    version = _version(package)
    name = f"{package} ({purpose})"
    if version is None:
        return Finding(name, "not installed", False, f"pip install 'robometa[{EXTRA_NAMES[package]}]'")
    return Finding(name, version, True)


def _metaworld() -> Finding:
    """Checks that Meta-World's suites can run: its package, and the one version of MuJoCo that it needs."""
    from robometa.errors import UserError

    name = "metaworld (Meta-World's arm tasks)"
    version = _version("metaworld")
    try:
        from robometa.sim.metaworld import upstream  # loads mujoco

        upstream.check()
    except (ImportError, UserError) as error:
        return Finding(name, f"{version}, which cannot run" if version else "not installed", False, str(error))
    return Finding(name, f"{version}, with mujoco {metaworld.MUJOCO}", True)


def _processors() -> Finding:
    import torch  # takes a second to load

    from robometa.compute.parallel import processors

    count, threads = processors(), torch.get_num_threads()
    return Finding("processors", f"{count}, torch uses {threads} {'thread' if threads == 1 else 'threads'}", True)


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", torch.cuda.get_device_name(), True)
    return Finding("GPU", "none that torch can use; everything runs on the processors", False)


def _drawing() -> list[Finding]:
    """Checks the ways to render videos; one is enough."""
    from robometa.video import gl_backends

    works = {backend: gl_backends.works(backend) for backend in gl_backends.BACKENDS}
    findings = []
    for backend, good in works.items():
        advice = "" if any(works.values()) else f"sudo apt-get install {gl_backends.PACKAGES[backend]}  (for videos)"
        name = {"egl": "EGL", "osmesa": "OSMesa"}[backend]
        findings.append(Finding(f"drawing by {name}", "works" if good else "does not work", good, advice))
    return findings


def _ffmpeg() -> Finding:
    from robometa.errors import UserError
    from robometa.video import encode

    try:
        command = [encode.ffmpeg(), "-version"]
    except UserError as error:
        return Finding("ffmpeg", "not found", False, str(error))
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("ffmpeg", f"does not run: {error}", False, "pip install --force-reinstall imageio-ffmpeg")
    match = re.match(r"ffmpeg version (\S+)", said)
    return Finding("ffmpeg", match.group(1) if match else command[0], True)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
