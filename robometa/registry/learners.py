"""The shipped learners by name, and the resolution of names. Listing them imports none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robometa.errors import UserError, unknown
from robometa.registry.entry import Entry

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner

LEARNERS = {
    "maml-trpo": Entry(
        "robometa.learners.maml_trpo",
        "MamlTrpo",
        "Learns a start from which one policy-gradient step adapts; trust-region outer steps through the inner one.",
        "Finn et al. 2017, https://arxiv.org/abs/1703.03400",
    ),
    "fomaml": Entry(
        "robometa.learners.maml_trpo",
        "MamlTrpo",
        "MAML-TRPO that does not differentiate through the inner step: first order only.",
        "Nichol et al. 2018, https://arxiv.org/abs/1803.02999",
        overrides={"first_order": True},
    ),
    "anil": Entry(
        "robometa.learners.maml_trpo",
        "MamlTrpo",
        "MAML-TRPO whose inner steps move the policy's last layer only.",
        "Raghu et al. 2020, https://arxiv.org/abs/1909.09157",
        overrides={"last_layer_only": True},
    ),
    "meta-sgd": Entry(
        "robometa.learners.meta_sgd",
        "MetaSgd",
        "MAML-TRPO that learns the step size of every parameter together with the start.",
        "Li et al. 2017, https://arxiv.org/abs/1707.09835",
    ),
    "e-maml": Entry(
        "robometa.learners.e_maml",
        "EMaml",
        "MAML-TRPO that also credits what is done before an adaptation with how well it goes after it.",
        "Stadie et al. 2018, https://arxiv.org/abs/1803.01118",
    ),
    "promp": Entry(
        "robometa.learners.promp",
        "ProMp",
        "Learns a start from which one policy-gradient step adapts, by clipped steps that credit the exploration too.",
        "Rothfuss et al. 2018, https://arxiv.org/abs/1810.06784",
    ),
    "reptile": Entry(
        "robometa.learners.reptile",
        "Reptile",
        "Learns a start by moving it towards where policy-gradient steps on each task take it.",
        "Nichol et al. 2018, https://arxiv.org/abs/1803.02999",
    ),
    "pearl": Entry(
        "robometa.learners.pearl",
        "Pearl",
        "Infers a latent task variable from context and acts on a sample of it; off-policy, with SAC.",
        "Rakelly et al. 2019, https://arxiv.org/abs/1903.08254",
    ),
    "varibad": Entry(
        "robometa.learners.varibad",
        "Varibad",
        "Keeps a belief over the task at every step, learned by predicting rewards, and a policy that acts on it.",
        "Zintgraf et al. 2020, https://arxiv.org/abs/1910.08348",
    ),
    "rl2": Entry(
        "robometa.learners.rl2",
        "Rl2",
        "Learns a recurrent policy whose memory, carried through a trial, is what it knows of the task.",
        "Duan et al. 2016, https://arxiv.org/abs/1611.02779",
    ),
    "hypernetwork": Entry(
        "robometa.learners.hypernetwork",
        "Hypernetwork",
        "RL^2 whose memory generates the weights of a small policy at every step.",
        "Beck et al. 2023, https://arxiv.org/abs/2309.14970",
    ),
    "amago": Entry(
        "robometa.learners.amago",
        "Amago",
        "Learns a policy with a memory off-policy: climbs classifying critics, and clones what they find better.",
        "Grigsby et al. 2024, https://arxiv.org/abs/2411.11188",
    ),
    "rma": Entry(
        "robometa.learners.rma",
        "Rma",
        "Learns a policy given a bottleneck of what tasks hide, then to estimate that from the last steps.",
        "Kumar et al. 2021, https://arxiv.org/abs/2107.04034",
    ),
    "rma-concurrent": Entry(
        "robometa.learners.rma_concurrent",
        "RmaConcurrent",
        "Learns a policy on an estimate of what tasks hide, and the estimate from the last steps, at the same time.",
        "Margolis and Agrawal 2022, https://arxiv.org/abs/2212.03238",
    ),
    "dpt": Entry(
        "robometa.learners.dpt",
        "Dpt",
        "Learns from a dataset to predict an oracle's action from any set of transitions of the task.",
        "Lee et al. 2023, https://arxiv.org/abs/2306.14892",
    ),
    "ad": Entry(
        "robometa.learners.ad",
        "Ad",
        "Learns from a dataset to continue learning histories, and so improves from episode to episode.",
        "Laskin et al. 2022, https://arxiv.org/abs/2210.14215",
    ),
    "grbal": Entry(
        "robometa.learners.grbal",
        "Grbal",
        "Refits a model of dynamics and reward to the last transitions at every step, and plans through it.",
        "Nagabandi et al. 2019, https://arxiv.org/abs/1803.11347",
    ),
    "cadm": Entry(
        "robometa.learners.cadm",
        "Cadm",
        "Infers a context from the last transitions at every step, and plans through models that see it.",
        "Lee et al. 2020, https://arxiv.org/abs/2005.06800",
    ),
    "pets": Entry(
        "robometa.learners.pets",
        "Pets",
        "Plans through an ensemble of probabilistic models of all tasks, and adapts to none.",
        "Chua et al. 2018, https://arxiv.org/abs/1805.12114",
    ),
    "no-adaptation": Entry(
        "robometa.learners.no_adaptation",
        "NoAdaptation",
        "One policy for all tasks that never finds out which one it is on: what every adaptation must beat.",
        "Schulman et al. 2017, https://arxiv.org/abs/1707.06347",
    ),
    "fine-tune": Entry(
        "robometa.learners.fine_tune",
        "FineTune",
        "One policy for the mean over tasks, trained on to each task: what pretraining without meta-learning gives.",
        "Schulman et al. 2017, https://arxiv.org/abs/1707.06347",
    ),
    "oracle": Entry(
        "robometa.learners.oracle",
        "Oracle",
        "The same policy shown the numbers that its task hides: what finding out can be worth.",
        "Schulman et al. 2017, https://arxiv.org/abs/1707.06347",
    ),
    "random": Entry(
        "robometa.learners.random",
        "Random",
        "Acts uniformly at random and learns nothing: the floor that every other learner stands on.",
        "none",
    ),
}
"""Every learner by its command-line name: gradient-based, belief-based, recurrent, model-based, and baselines."""


def find(name: str) -> Entry:
    """Finds the learner of this name, or in a user's file: `./mine.py:MyLearner`.

    Raises:
        UserError: If there is none; the message names the nearest.
    """
    from robometa.registry import user_file

    if user_file.is_reference(name):
        return user_file.read(name)
    if name not in LEARNERS:
        raise UserError(unknown("learner", name, LEARNERS) + " (or ./FILE.py:CLASS for one of your own)")
    return LEARNERS[name]


def of(name: str, learner: Learner) -> Entry:
    """Returns the entry that a learner was made from; the file of a user's learner may have changed since."""
    from robometa.registry import user_file

    return user_file.MADE.get(type(learner)) or find(name)


def absolute(name: str) -> str:
    """Returns a learner's name with an absolute path, valid in every folder."""
    from robometa.registry import user_file

    entry = find(name)
    return f"{entry.path}:{entry.name}" if isinstance(entry, user_file.OwnEntry) else name
