"""The published page in headless Chromium: it adapts, fetches nothing, and computes what Python does."""

import pytest
from node_tools import LIVE, browser, needs_browser

RL2, VARIBAD, MAML = 0, 1, 2
MEAN = "const mean = values => values.reduce((sum, one) => sum + one, 0) / values.length;"


def ran(steps):
    """A script for the mean speed of the second half of the last episode."""
    return f"mean(robometa.control({steps}).slice(-100))"


@needs_browser()
def test_asked_for_a_speed_it_runs_at_it_and_the_page_asks_for_nothing():
    found = browser(
        LIVE, f"{MEAN} ({{ speed: {ran(400)}, twin: mean(robometa.session.history.map(one => one.twin)) }})"
    )
    assert found["speed"] == pytest.approx(1.5, abs=0.1)
    assert found["twin"] < 1.4


@pytest.mark.slow
@needs_browser()
def test_it_comes_back_from_a_broken_leg():
    script = f"""{MEAN}
    const found = [{ran(400)}];
    robometa.session.set('broken', 3);
    found.push({ran(400)});
    robometa.session.set('broken', -1);
    found.push({ran(400)});
    robometa.session.set('velocity-0', 2.5);
    found.push({ran(400)});
    found"""
    whole, broken, mended, faster = browser(LIVE, script)
    assert whole == pytest.approx(1.5, abs=0.1)
    assert broken < 1.2
    assert mended == pytest.approx(1.5, abs=0.1)
    assert faster == pytest.approx(2.5, abs=0.15)


@pytest.mark.slow
@needs_browser()
def test_a_gradient_step_in_the_page_adapts_and_forgetting_undoes_it():
    script = f"""
    robometa.open({MAML});
    const {{ session }} = robometa, found = [];
    for (const direction of [1, -1]) {{
      session.set('direction-0', direction);
      robometa.control(200);
      document.getElementById('explore').click();
      while (session.exploring) session.advance();
      robometa.control(200);
      found.push(session.episodes.slice(-2).map(one => one.adaptive), session.episodes.at(-1).twin);
      document.getElementById('forget').click();
      robometa.control(200);
      const [now, start] = [session.adaptive.agent.adaptation, session.twin.agent.first];
      found.push(now.parameters.data.every((one, n) => one === start.parameters.data[n]));
    }}
    found"""
    before, forward_twin, forgot, back, backward_twin, forgot_again = browser(LIVE, script)
    assert before[1] > before[0] + 150
    assert before[1] > forward_twin + 150
    assert back[1] > backward_twin + 150
    assert forgot
    assert forgot_again


@pytest.mark.slow
@needs_browser()
def test_every_control_has_a_name_and_the_page_fits_a_phone():
    script = """
    const named = one => one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label');
    const controls = [...document.querySelectorAll('button, input, select, progress, canvas, [tabindex]')];
    document.getElementById('view').focus();
    document.getElementById('view').dispatchEvent(new KeyboardEvent('keydown', { key: 'b', bubbles: true }));
    ({
      unnamed: controls.filter(one => !named(one)).map(one => one.outerHTML),
      broken: robometa.session.values.broken,
      status: document.getElementById('status').textContent,
      wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    })"""
    found = browser(LIVE, script, width=360)
    assert found == {"unnamed": [], "broken": 0, "status": "Broken joint: hind thigh.", "wide": 0}


@pytest.mark.slow
@needs_browser()
def test_the_page_runs_in_real_time_with_its_picture():
    script = """new Promise(done => setTimeout(() => done({
      rate: robometa.state.held / robometa.state.clock,
      drawn: document.getElementById('no-picture').hidden,
    }), 6000))"""
    found = browser(LIVE, script, picture=True, watch=True)
    assert found["drawn"]
    assert found["rate"] > 2  # on a busy machine without a GPU; docs/page.md has a quiet one's
