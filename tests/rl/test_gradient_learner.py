"""Options that learners with inner gradient steps share: every learner lists its own between or after them."""

from dataclasses import fields

import pytest

from robometa.learners import e_maml, maml_trpo, meta_sgd, promp, reptile

TRIAL = ["iterations", "tasks", "worlds", "shots", "inner_step_size", "pooled_shots"]
POLICY = [
    "hidden",
    "initial_std",
    "action_scale",
    "discount",
    "gae_lambda",
    "normalize_observations",
    "value_weight",
    "last_layer_scale",
]
TRUST_REGION = [
    "kl_bound",
    "conjugate_gradient_steps",
    "damping",
    "fisher_stride",
    "line_search_shrink",
    "line_search_trials",
]


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (maml_trpo, [*TRIAL, "first_order", "last_layer_only", *POLICY, *TRUST_REGION]),
        (e_maml, [*TRIAL, "credit_weight", "credit", "baseline_rate", *POLICY, *TRUST_REGION]),
        (meta_sgd, [*TRIAL, "rate_learning_rate", *POLICY, *TRUST_REGION]),
        (
            promp,
            [
                *TRIAL,
                *POLICY,
                "learning_rate",
                "epochs",
                "clip",
                "kl_weight",
                "minibatches",
                "final_learning_rate",
                "decay_end",
            ],
        ),
        (reptile, [*TRIAL, *POLICY, "learning_rate"]),
    ],
)
def test_help_lists_the_trial_then_the_learners_own_options_then_the_policy(module, names):
    assert [field.name for field in fields(module.Config)] == names
