"""Runs the page's modules and headless Chromium from tests."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "page" / "test"
MODULES = ROOT / "page" / "node_modules"
LIVE = ROOT / "docs" / "live" / "half-cheetah.html"
"""The published page."""
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def needs(*packages):
    """Skips a test where Node, or a package that `make page` installs, is missing."""
    if NODE is None:
        return pytest.mark.skip(reason="node is not installed")
    missing = [name for name in packages if not (MODULES / name).is_dir()]
    return pytest.mark.skipif(bool(missing), reason=f"npm ci in page/ installs {', '.join(missing)}")


def needs_browser():
    """Skips a test where Chromium or its driver is missing."""
    if CHROMIUM is None:
        return pytest.mark.skip(reason="chromium is not installed")
    return needs("puppeteer-core")


def node(script, given):
    """What a script answers."""
    command = [NODE, str(SCRIPTS / script)]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def browser(page, script, picture=False, watch=False, width=1280):
    """What a script on a page gives; the page must not fetch, warn or fail."""
    given = {"page": str(page), "script": script, "picture": picture, "chromium": CHROMIUM, "watch": watch}
    given |= {"width": width}
    answer = node("browser.mjs", given)
    assert answer["errors"] == []
    assert answer["requests"] == [f"file://{page}"]
    return answer["found"]
