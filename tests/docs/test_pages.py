"""The documentation: every learner and every logged metric has its place, links lead somewhere, the site builds."""

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

import robometa
from robometa import registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LOGS = sorted((ROOT / "policies").glob("*/training"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
ANCHOR = re.compile(r"[^\w\- ]")


def hook(name):
    """Loads a hook of the site."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(page):
    """The anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {ANCHOR.sub("", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in LINK.findall(re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path), link


def test_every_learner_has_a_page_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    overview = (DOCS / "learners" / "index.md").read_text(encoding="utf-8")
    for name in registry.LEARNERS:
        assert (DOCS / "learners" / f"{name}.md").is_file()
        assert f"learners/{name}.md" in nav
        assert f"]({name}.md)" in overview


@pytest.mark.parametrize("name", registry.LEARNERS)
def test_every_learner_page_has_equations_metrics_deviations_and_results(name):
    page = (DOCS / "learners" / f"{name}.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert "$" in sections["Equations"]
    assert sections["Logged metrics"].strip()
    assert any(title.startswith("Deviations") and text.strip() for title, text in sections.items())
    assert f"<!-- results of {name}, written by make results -->" in sections["Results"]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.parent.name)
def test_every_logged_metric_is_explained(log):
    learner = json.loads((log / "run.json").read_text(encoding="utf-8"))["learner"]
    shared = (DOCS / "learners" / "index.md").read_text(encoding="utf-8")
    own = (DOCS / "learners" / f"{learner}.md").read_text(encoding="utf-8")
    with (log / "metrics.jsonl").open(encoding="utf-8") as lines:
        logged = json.loads(lines.readline())
    for name in logged:
        shown = re.sub(r"_\d+$", "_0", name)
        assert f"`{shown}`" in shared or f"| `{name}` |" in own, name


@pytest.mark.parametrize("name", re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE))
def test_what_the_api_reference_names_exists(name):
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", robometa.__all__)
def test_the_api_reference_has_every_public_name(name):
    place = (
        ".".join(robometa.PLACES.get(name, ("robometa", name)))
        .replace("suites.names", "suites.shipped.names")
        .replace("suites.load", "suites.load.load")
    )
    assert f"::: {place}\n" in (DOCS / "api.md").read_text(encoding="utf-8")


def test_equations_become_mathml():
    pytest.importorskip("latex2mathml")
    page = '<p>x <span class="arithmatex">\\(a &lt; b\\)</span></p><div class="arithmatex">\\[\nc^2\n\\]</div>'
    shown = hook("mathml").on_page_content(page)
    assert shown.count("<math") == 2
    assert 'display="block"' in shown
    assert "arithmatex" not in shown


def test_links_out_of_docs_lead_to_copies_on_the_site():
    pytest.importorskip("mkdocs")
    repository = hook("repository")
    text = "[a](../results/README.md#x) [b](gpu.md) [c](https://x.org) `[d](../README.md)` [e](../robometa/data.py)"
    assert repository.outside("docs/page.md", text) == ["results/README.md", "robometa/data.py"]
    assert repository.site_path("results/README.md") == "repository/results/README.md"
    assert repository.site_path("robometa/data.py") == "repository/robometa/data.py.md"
    assert repository.site_path("docs/gpu.md") == "gpu.md"
    assert repository.resolved("docs/page.md", "../../secret") is None
    assert repository.source("repository/results/README.md") == "results/README.md"


def test_output_of_a_command_is_put_where_the_page_asks_for_it():
    output = hook("output")
    page = output.on_page_markdown("before\n<!-- output of robometa learners rl2 -->\nafter\n")
    assert "--memory-size" in page
    assert page.startswith("before\n\n```text\n")
    assert page.endswith("```\n\nafter\n")
    with pytest.raises(RuntimeError, match="exit code 2"):
        output.output_of(["learners", "no-such-learner"])


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    import subprocess

    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    pages = "".join(page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html"))
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?://', pages)  # nothing needs a network
