"""The card of a policy: description, training and measurements. Markdown from a template."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from robometa import registry, suites
from robometa.escape import Markdown, code, counted, markdown, word
from robometa.policies import card_tables
from robometa.registry import user_file
from robometa.registry.options import configuration_words, departures
from robometa.suites.objective_file import is_own
from robometa.suites.shipped import benchmark_names
from robometa.suites.suite import Suite

if TYPE_CHECKING:
    from jinja2 import Template

    from robometa.learners.protocol import Learner
    from robometa.policies.manifest import TrainingRecord

TEMPLATE = """\
# {{ learner }} on {{ suite.name }}

{{ suite.about }} {{ about }}

| | |
| --- | --- |
| suite | {{ code(suite.name) }}, horizon {{ suite.horizon }}, hash {{ code(suite.content_hash[:16]) }} |
{% if suite.source %}\
| source | {{ suite.source }} |
{% endif %}\
| learner | {{ code(learner) }} ({{ paper }}), {{ configuration }} |
{% if fingerprint %}\
| its file | {{ code(reference) }}, SHA-256 {{ code(fingerprint) }} |
{% endif %}\
{% if merged %}\
| merged | {% for part in merged %}\
{{ "%g" % part.weight }} of {{ code(part.policy) }} \
(suite {{ code(part.suite) }}, seed {{ part.seed }}, tensors {{ code(part.sha256[:16]) }})\
{{ " and " if not loop.last }}\
{% endfor %}, averaged tensor by tensor |
{% elif teacher %}\
| distilled | from {{ code(teacher.policy) }} ({{ teacher.learner }}, seed {{ teacher.seed }}, tensors \
{{ code(teacher.sha256[:16]) }}), whose actions it learned; an iteration is a round of {{ teacher.steps }} gradient \
steps |
{% endif %}\
{% if training.started_from %}\
| started | from {{ code(training.started_from.policy) }} ({{ training.started_from.learner }} on \
{{ code(training.started_from.suite) }}, seed {{ training.started_from.seed }}, \
{{ "{:,}".format(training.started_from.environment_steps) }} environment steps, tensors \
{{ code(training.started_from.sha256[:16]) }}) |
{% endif %}\
| training | {{ "together " if merged }}{{ training.iterations }} iterations, \
{{ "{:,}".format(training.environment_steps) }} environment steps, \
{{ (training.wall_time_seconds / 60) | round(1) }} minutes\
{% if not merged %}\
 on {{ training.processors }} core{{ "s" if training.processors != 1 }}\
{{ " and one %s" % training.gpu if training.gpu }}, seed {{ training.seed }}\
{% endif %} |
{% if not merged and not teacher %}\
| cost | gradient samples {{ "{:,}".format(training.gradient_samples) if training.gradient_samples is not none \
else "not recorded" }}; core-minutes {{ training.core_minutes if training.core_minutes is not none \
else "not recorded" }}; configurations tried {{ training.configurations if training.configurations is not none \
else "not recorded" }} |
{% endif %}\
| versions | {% for name, value in training.versions.items() %}{{ name }} {{ value }}{{ ", " if not loop.last }}\
{% endfor %} |

{% if training.chosen_from > 1 %}\
**One policy, and the best of {{ training.chosen_from }} seeds by training return**: other seeds come out somewhat \
worse. The results page has all seeds.

{% endif %}\
{% if report %}\
Measured \
{% if report.protocol %}by protocol {{ code(report.protocol) }} {% endif %}\
on {{ counted(report.tasks, "task" if suite.finite else "held-out task") }}, \
{{ counted(report.worlds, "episode") }} each, seed {{ report.seed }} \
({{ code("robometa evaluate" ~ measured) }}). Return: interquartile mean [95 % stratified bootstrap interval] and mean.

{{ returns }}
{% if report.has_success %}\
Success of mean actions by the end of an episode, and at any step of it (Meta-World's rule, which passing by fulfils):

{{ successes }}
{% endif %}\
{{ missing }}{{ control }}{{ gap }}{{ change }}\
{% for sentence in report.warnings %}
**Warning:** {{ sentence }}
{% endfor %}
{% elif merged %}
Nothing is known of what the average can do before it is measured on held-out tasks with `robometa evaluate`.

{% elif teacher %}
Measure it on held-out tasks with `robometa evaluate`.

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
{% elif teacher %}\
Distil it again: {{ code("robometa distil " ~ word(teacher.policy) ~ " --size %s --rounds %s --steps %s --seed %s" % \
(teacher.size, teacher.rounds, teacher.steps, training.seed)) }}
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


@functools.cache
def _template() -> Template:
    """The card's template, compiled once."""
    from jinja2 import Environment, StrictUndefined  # not needed until there is a card

    return Environment(undefined=StrictUndefined, autoescape=False, finalize=_escaped).from_string(TEMPLATE)


def _measured(report: Mapping[str, Any]) -> str:
    """The options of the evaluation that a report is of."""
    seed = f" --seed {report['seed']}" if report["seed"] else ""
    return f" --shots {len(report['shots']) - 1} --worlds {report['worlds']}{seed}"


def text(
    name: str, learner: Learner, suite: Suite, training: TrainingRecord, report: Mapping[str, Any] | None = None
) -> str:
    """The card of a trained policy, with the content of its `report.json` if it was evaluated."""
    entry = registry.of(name, learner)
    presets, options = entry.presets(), asdict(learner.config)
    preset = presets[training.preset]
    changed = departures(asdict(preset), suite.learner.get(user_file.short(name), {}), options)
    command = "" if preset is next(iter(presets.values())) else f" --preset {training.preset}"
    command += "".join(_option(key, value) for key, value in changed.items())
    command += f" --reward {word(suite.objective)}" if is_own(suite.objective) else ""
    command += f" --start-from {word(training.started_from.policy)}" if training.started_from else ""
    command += " --device cuda" if training.gpu else ""
    command += f" --torch-threads {training.torch_threads}" if training.torch_threads else ""
    command += f" --piece {training.piece}" if training.piece else ""
    return _template().render(
        learner=registry.label(name),
        reference=user_file.short(name),
        fingerprint=entry.fingerprint(),
        about=entry.about,
        paper=entry.paper,
        suite=suite,
        suite_file=suite.name if suite.name in suites.names() or _is_benchmark(suite) else suite.path.name,
        configuration=configuration_words(training.preset, changed),
        training=training,
        merged=training.merged,
        teacher=training.teacher,
        options=options,
        command=command,
        report=report,
        measured="" if report is None or report["protocol"] else _measured(report),
        returns=Markdown("" if report is None else card_tables.returns(report)),
        successes=Markdown("" if report is None else card_tables.successes(report)),
        missing=Markdown("" if report is None else card_tables.missing(report)),
        change=Markdown("" if report is None else card_tables.since_change(report)),
        control=Markdown("" if report is None else card_tables.control(report)),
        gap=Markdown("" if report is None else card_tables.gap(report)),
        code=code,
        counted=counted,
        word=word,
    )


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
