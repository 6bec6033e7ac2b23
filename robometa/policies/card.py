"""The card of a policy: what it is, how it was trained, what was measured. Markdown from a template."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robometa import registry, suites
from robometa.escape import Markdown, code, markdown, word
from robometa.registry import user_file
from robometa.registry.options import scheduled
from robometa.reports.statistics import words_of
from robometa.suites.shipped import benchmark_names
from robometa.suites.suite import Suite

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner
    from robometa.policies.manifest import TrainingRecord

TEMPLATE = """\
# {{ learner }} on {{ suite.name }}

{{ suite.about }} {{ about }}

| | |
| --- | --- |
| suite | {{ code(suite.name) }}, horizon {{ suite.horizon }}, hash {{ code(suite.content_hash[:16]) }} |
| source | {{ suite.source }} |
| learner | {{ code(learner) }} ({{ paper }}), {{ training.preset }} configuration |
{% if fingerprint %}\
| its file | {{ code(reference) }}, SHA-256 {{ code(fingerprint) }} |
{% endif %}\
{% if merged %}\
| merged | {% for part in merged %}\
{{ "%g" % part.weight }} of {{ code(part.policy) }} \
(suite {{ code(part.suite) }}, seed {{ part.seed }}, tensors {{ code(part.sha256[:16]) }})\
{{ " and " if not loop.last }}\
{% endfor %}, averaged tensor by tensor |
{% endif %}\
| training | {{ "together " if merged }}{{ training.iterations }} iterations, \
{{ "{:,}".format(training.environment_steps) }} environment steps, \
{{ (training.wall_time_seconds / 60) | round(1) }} minutes on {{ training.processors }} \
core{{ "s" if training.processors != 1 }}\
{{ ", seed %s" % training.seed if not merged }} |
| versions | {% for name, value in training.versions.items() %}{{ name }} {{ value }}{{ ", " if not loop.last }}\
{% endfor %} |

{% if report %}
Measured \
{% if report.protocol %}by protocol {{ code(report.protocol) }} {% endif %}\
on {{ report.tasks | length }} {{ "tasks" if suite.finite else "held-out tasks" }}, \
{{ report.exploring.returns.shape[2] }} episodes each, seed {{ report.seed }} \
({{ code("robometa evaluate" ~ measured) }}). Return: interquartile mean [95 % stratified bootstrap interval]; \
random actions reach {{ words_of(report.interval(report.random, 0)) }}.

| shot | episodes of the task seen | mean action | exploring |{% if report.has_success %} success |{% endif %}
| --- | --- | --- | --- |{% if report.has_success %} --- |{% endif %}
{% for row in report.summary() %}| {{ row.shot or "before" }} | {{ "%g" % row.episodes_seen }} | \
{{ words_of(row.mean_action) }} | {{ words_of(row.exploring) }} |\
{% if report.has_success %} {{ "{:.0%}".format(row.mean_action.success) }} |{% endif %}
{% endfor %}\
{{ successes }}\
{% for sentence in report.warnings() %}
**Warning:** {{ sentence }}
{% endfor %}
{% elif merged %}
Nothing is known of what the average can do before it is measured on held-out tasks with `robometa evaluate`.

{% else %}
Mean return in the last training iteration, exploring: {% for name, value in training.last_returns.items() %}\
{{ "before adaptation" if name == "return_0" else "after shot " ~ name[7:] }} {{ value | round(1) }}\
{{ ", " if not loop.last }}{% endfor %}. Measure it on held-out tasks with `robometa evaluate`.

{% endif %}
{% if merged %}\
Merge it again: {{ code("robometa merge " ~ word(merged[0].policy) ~ " " ~ word(merged[1].policy) ~ \
" --weight %g" % merged[0].weight) }}. Its options are the first's\
{% for name, value in training.merged_options.items() %}{{ "; in the second " if loop.first else ", " }}\
{{ code(name) }} was {{ value }}{% endfor %}.
{% else %}\
Train it again: {{ code("robometa train " ~ word(suite_file) ~ " " ~ word(reference) ~ " --seed %s" % training.seed ~ \
command) }}
{% if training.best_every %}\
It is the policy of iteration {{ training.iterations }}, the best of a run of {{ training.begun_for or \
training.iterations }} iterations that was scored every {{ training.best_every }} iterations \
{{ "on tasks drawn for that, neither trained on nor in the test split" if suite.endless else \
"on tasks of the test split: its score on them is not free of that selection" }}; with `--evaluate-every \
{{ training.best_every }}` it comes out as `best`.
{% elif training.begun_for %}\
Started with --iterations {{ training.begun_for }}, then ended at {{ training.iterations }} (`robometa resume RUN \
--iterations {{ training.iterations }}`). If the learning rate decays, one uninterrupted training gives another policy.
{% endif %}\
{% endif %}
<details><summary>Options</summary>

{% for name, value in options.items() %}- {{ code(name) }}: {{ value }}
{% endfor %}
</details>
"""


def _escaped(value: Any) -> Any:
    """Escapes whatever the template shows, but for numbers and what is Markdown already."""
    return value if isinstance(value, Markdown | int | float) else markdown(value)


def _measured(report: Any) -> str:
    """The options of the evaluation that a report is of."""
    seed = f" --seed {report.seed}" if report.seed else ""
    return f" --shots {len(report.episodes_seen) - 1} --worlds {report.exploring.returns.shape[2]}{seed}"


def text(name: str, learner: Learner, suite: Suite, training: TrainingRecord, report: Any = None) -> str:
    """The card of a trained policy, with what an evaluation reported of it if there was one."""
    entry = registry.of(name, learner)
    presets = entry.presets()
    preset = presets[training.preset]
    plain, options = asdict(preset), asdict(learner.config)
    usual = plain | scheduled(plain, suite.learner.get(user_file.short(name), {}))
    moved = usual | scheduled(usual, {"iterations": options["iterations"]})  # brought along
    changed = {key: value for key, value in options.items() if not value == usual[key] == moved[key]}
    command = "" if preset is next(iter(presets.values())) else f" --preset {training.preset}"
    command += "".join(_option(key, value) for key, value in changed.items())
    from jinja2 import Environment, StrictUndefined  # not needed for `words_of`

    template = Environment(undefined=StrictUndefined, autoescape=False, finalize=_escaped).from_string(TEMPLATE)
    return template.render(
        learner=registry.label(name),
        reference=user_file.short(name),
        fingerprint=entry.fingerprint(),
        about=entry.about,
        paper=entry.paper,
        suite=suite,
        suite_file=suite.name if suite.name in suites.names() or _is_benchmark(suite) else suite.path.name,
        training=training,
        merged=training.merged,
        options=options,
        command=command,
        report=report,
        measured="" if report is None or report.protocol else _measured(report),
        successes=Markdown(_successes(report) if report is not None and report.names else ""),
        words_of=lambda interval: Markdown(words_of(interval)),
        code=code,
        word=word,
    )


def _successes(report: Any) -> str:
    """Table of the success rates of each task."""
    summary = report.summary()
    shots = [f"after {row['episodes_seen']:g} episodes | at the end" for row in summary[1:]]
    lines = [
        f"\nSuccess of mean actions at any step of an episode and at its last, means over {len(report.names)} goals:\n",
        " | ".join(("| task | goals", "before | at the end", *shots)) + " |",
        "| --- " * (2 + 2 * len(summary)) + "|",
    ]
    for row in report.by_name():
        found = [shot["mean_action"] for shot in row["shots"]]
        lines.append(_shares(row["task"], row["goals"], found))
    lines.append(_shares("all", len(report.names), [row["mean_action"] for row in summary]))
    return "\n".join(lines) + "\n"


def _shares(name: str, goals: int, found: list[dict[str, Any]]) -> str:
    """Row of the table, with intervals if there are any."""
    cells = [markdown(name), str(goals)]
    for shot in found:
        share = f"{shot['success']:.1%}"
        if shot.get("success_low") is not None:
            share += f" [{shot['success_low']:.1%}, {shot['success_high']:.1%}]"
        cells += [share, f"{shot['success_at_end']:.1%}"]
    return "| " + " | ".join(cells) + " |"


def _is_benchmark(suite: Suite) -> bool:
    """True for the shipped suites of Meta-World's tasks."""
    return suite.name.partition("/")[0] in benchmark_names()


def _option(name: str, value: Any) -> str:
    """An option as the command line takes it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f" --{flag}" if value else f" --no-{flag}"
    return f" --{flag} {_words(value)}"


def _words(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple | list) else str(value)
