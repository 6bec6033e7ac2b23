"""The page of a comparison: whole, escaped, without a network, and as a browser shows it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robometa import registry
from robometa.commands.hints import FROM_SCRATCH
from robometa.errors import UserError
from robometa.reports import drawing, families, html, videos
from robometa.reports.compare import compare
from robometa.reports.figures import Points, adaptation_points
from robometa.reports.gap import words_of_gap
from robometa.storage import sealed_folder
from tests.reports.comparable import OPTIONS, returns_of, write_policy

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
HOSTILE = "<script>alert(1)</script>$\\frac{\x1b[2J_&\"'"
MP4 = b"\0\0\0\x18ftypisom" + bytes(100)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Two seeds of one learner, one of another."""
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_policy(tmp_path / f"rl2-{seed}", returns_of(seed), seed)
    write_policy(tmp_path / "pearl-0", returns_of(5), learner="pearl", options={"learning_rate": 0.2})
    return tmp_path


def test_a_page_holds_everything_and_asks_no_network(place):
    text = compare("rl2-*", "pearl-0").save("page.html").read_text(encoding="utf-8")
    heads = re.findall(r"<h3>(.*?)</h3>", text)
    assert heads == [
        "Learning curves",
        "Return against episodes of the task seen",
        "Differences, task by task",
        "Probability of improvement",
        "Differing options",
        "Hardware and time",
    ]
    assert text.count("<svg") == 3
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:|//|file:)""", text)
    identifiers = re.findall(r'\bid="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:url\(|href=")#([^")]+)', text)) <= set(identifiers)
    assert drawing.INK not in text


def test_the_same_comparison_is_the_same_page(place):
    assert html.page(compare("rl2-*", "pearl-0")) == html.page(compare("rl2-*", "pearl-0"))


def test_a_page_of_one_has_its_tasks(place):
    text = html.page(compare("pearl-0"))
    assert "<h1>pearl on made-up</h1>" in text
    assert "Task by task" in text
    assert "Probability of improvement" not in text


def test_text_of_files_stays_text(place):
    options = OPTIONS | {HOSTILE: HOSTILE}
    write_policy(place / "odd", returns_of(3), learner=HOSTILE, suite=HOSTILE, options=options)
    compared = compare("odd", "rl2-0")
    for text in (html.page(compared), compared._repr_html_()):
        assert "<script" not in text
        assert "\x1b" not in text
        assert "&lt;script&gt;alert(1)&lt;" in text


@pytest.mark.parametrize("value", [1e15, -1e15, 1e308, 0.0])
def test_extreme_numbers_make_a_page_or_are_refused(place, value):
    policy = write_policy(place / "odd", np.full((2, 4, 3), value), seed=3)
    rows = [{"iteration": i, "steps": 1.0 + i * abs(value), "return_1": value * (-1) ** i} for i in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows if np.isfinite(row["steps"]))
    (policy / "training" / "metrics.jsonl").write_text(lines, encoding="utf-8")
    if value > 1e300:
        with pytest.raises(UserError, match="one finite return"):
            compare("odd", "rl2-0")
        (policy / "report.json").unlink()
    assert "<svg" in html.page(compare("odd", "rl2-0"))


@pytest.mark.parametrize("suite_hash", ["", "\ud800", '" id=x', "a" * 4000])
def test_a_strange_hash_makes_a_page(place, suite_hash):
    policy = write_policy(place / "odd", returns_of(3))
    manifest = sealed_folder.read_manifest(policy) | {"suite_hash": suite_hash}
    sealed_folder.write_manifest(policy, manifest)
    text = html.page(compare("odd"))
    assert text.encode()
    assert 'id=x"' not in text


def test_a_user_s_style_changes_nothing(place):
    import matplotlib

    plain = html.page(compare("rl2-*"))
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert html.page(compare("rl2-*")) == plain


def test_videos_are_embedded_up_to_a_size_and_never_through_a_link(place, monkeypatch):
    monkeypatch.setattr(videos, "MAX_VIDEO_BYTES", 200)
    (place / "videos").mkdir()
    (place / "rl2-0" / "own.mp4").write_bytes(MP4)
    (place / "rl2-0" / "secret.mp4").symlink_to(place / "rl2-0" / "own.mp4")
    (place / "rl2-0" / "text.mp4").write_bytes(b"no video")
    (place / "videos" / "rl2-0-task3.mp4").write_bytes(MP4)
    (place / "videos" / "rl2-0-task3.gif").write_bytes(b"GIF89a")
    (place / "videos" / "rl2-1-task0.gif").write_bytes(b"GIF89a")
    (place / "videos" / "pearl-0.mp4").write_bytes(MP4 + bytes(500))
    text = html.page(compare("rl2-*", "pearl-0"))
    assert text.count("data:video/mp4;base64,") == 2
    assert text.count("data:image/gif;base64,") == 1
    assert re.findall(r"<figcaption>(.*): (\S+)</figcaption>", text) == [
        ("rl2, seed 0", "own.mp4"),
        ("rl2, seed 0", "text.mp4"),
        ("rl2, seed 0", "rl2-0-task3.mp4"),
        ("rl2, seed 1", "rl2-1-task0.gif"),
        ("pearl, seed 0", "pearl-0.mp4"),
    ]
    assert text.count("(not shown: no video, or too large for this page)") == 2


def test_a_page_has_a_path_that_can_be_written(place):
    compared = compare("rl2-0")
    for path, message in (("page.pdf", "an .html file"), ("gone/page.html", "no folder gone")):
        with pytest.raises(UserError, match=message):
            compared.save(path)
    (place / "a.html").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        compared.save("a.html")


def test_curves_are_averaged_not_cut():
    steps = np.arange(1000.0)
    thin, means = drawing.thinned(steps, steps)
    assert len(thin) <= drawing.MAX_POINTS
    assert thin.mean() == pytest.approx(steps[: len(thin) * 3].mean(), rel=0.01)
    assert (thin == means).all()
    assert drawing.centred(np.array([0.0, 0.0, 9.0, 0.0, 0.0]))[2] == pytest.approx(9 / 5)
    assert drawing.centred(np.arange(20.0))[10] == 10


def test_curves_of_seeds_end_with_the_shortest():
    long, short = np.arange(10.0), np.arange(5.0)
    steps, seeds = drawing.aligned([(long, long), (short, short)])
    assert (steps[0], steps[-1]) == (0.0, 4.0)
    assert seeds.shape == (2, len(steps))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(("scheme", "light"), [(1, True), (0, False)])
def test_a_browser_shows_the_page(place, scheme, light):
    page = compare("rl2-*", "pearl-0").save(place / "page.html")
    picture = place / "page.png"
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=900,1800"]
    words += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        f"--user-data-dir={place / 'browser'}",
    ]
    words += [f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={picture}", page.as_uri()]
    run = subprocess.run([CHROMIUM, *words], capture_output=True, text=True, timeout=120, check=False)
    assert picture.is_file(), run.stderr
    assert "CONSOLE" not in run.stderr  # such as a breach of the page's own policy
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=float)
    assert (np.median(pixels) > 200) == light
    assert pixels.std() > 8  # there is something to see
    drawn = np.asarray(Image.open(picture).convert("RGB"), dtype=int)[450:]
    assert (np.ptp(drawn, axis=2) > 80).sum() > 300  # the colours of the curves


def test_every_shipped_learner_has_a_family_and_rows_look_unlike():
    names = [*registry.LEARNERS, *FROM_SCRATCH]
    assert [name for name in names if families.family_of(name) is families.OTHERS] == []
    found = families.looks(["rl2", "pearl", "rl2", "./mine.py:A", "./mine.py:B", "maml-trpo"])
    assert len({(look.family.name, look.place) for look in found}) == len(found)
    assert found[0].colour == found[2].colour
    assert found[0].line != found[2].line
    assert found[3].colour != found[4].colour


def test_nothing_is_drawn_between_the_points_that_were_measured():
    row = Points("maml-trpo", "maml-trpo", (0.0, 20.0), [(-5.0, -6.0, -4.0), (-1.0, -2.0, -0.5)], False)
    figure = adaptation_points([row], families.looks(["maml-trpo"]), {})
    assert {line.get_linestyle() for line in figure.axes[0].lines} == {"None"}


def test_many_rows_get_a_panel_for_each_family():
    names = ["maml-trpo", "promp", "rl2", "pearl", "grbal"]
    rows = [Points(name, name, (0.0, 1.0), [(0.0, 0.0, 0.0)] * 2, False) for name in names]
    figure = adaptation_points(rows, families.looks(names), {"oracle": 1.0})
    assert [panel.get_title("left") for panel in figure.axes] == [
        "gradient steps",
        "memory or belief",
        "dynamics model",
    ]


def test_a_page_shows_held_out_returns_the_first_episode_and_the_gap(place):
    lines = (place / "rl2-0" / "training" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows[5] |= {"held_out_return_0": -3.0, "held_out_return_1": -2.0}
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (place / "rl2-0" / "training" / "metrics.jsonl").write_text(text, encoding="utf-8")
    described = json.loads((place / "rl2-0" / "report.json").read_text(encoding="utf-8"))
    described["shots"][0]["mean_action"] = {"pace": [-2.0, -1.0, -0.5], "steps": 30}
    (place / "rl2-0" / "report.json").write_text(json.dumps(described), encoding="utf-8")
    compared = compare("rl2-0")
    (group,) = compared.groups
    assert group.pace == [(5.0, -2.0), (15.0, -1.0), (25.0, -0.5)]
    assert (group.entries[0].held_out.steps.tolist(), group.entries[0].held_out.returns.tolist()) == ([600], [-2.0])
    heads = re.findall(r"<h3>(.*?)</h3>", html.page(compared))
    assert {"Held-out return during the training", "Within the first episode"} <= set(heads)


def test_a_suite_with_references_has_the_gap_in_every_table():
    policies = ROOT / "policies"
    compared = compare(policies / "half-cheetah-velocity-rl2", policies / "half-cheetah-velocity-no-adaptation")
    report = json.loads((policies / "half-cheetah-velocity-rl2" / "report.json").read_text(encoding="utf-8"))
    told = words_of_gap(report["shots"][-1])
    assert f"<td>{told}</td>" in html.page(compared)
    assert f"| {told} |" in compared.table("markdown")
    assert "| reference |" in compared.table("markdown")
    assert "gap closed" in compared.table("latex")
    head, first, *_ = (line.split(",") for line in compared.table("csv").splitlines())
    assert first[head.index("gap_closed")].startswith("0.9")
