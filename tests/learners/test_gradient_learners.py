"""MAML-TRPO's neighbours: their derivatives against finite differences and explicit matrices, in float64."""

import pytest
import torch
from conftest import copied, fake_rollout
from test_maml_trpo import SPACES, TASKS, central_differences, policy, relative, trial
from torch.distributions import kl_divergence

from robometa import registry
from robometa.learners.e_maml import EMaml, _standardized_credits
from robometa.learners.maml_trpo import MamlTrpo
from robometa.learners.meta_sgd import MetaSgd
from robometa.learners.promp import ProMp
from robometa.learners.reptile import Reptile
from robometa.noise import Noise
from robometa.rl.meta_gradient import fisher_product, outer_gradient
from robometa.rl.policy_gradient import rollout_batches, trial_batches

KINDS = [MamlTrpo, MetaSgd, EMaml, ProMp, Reptile]
TRUST_REGION = {"fisher_stride": 1, "damping": 0.0}
NOISE = Noise(0, (), TASKS, 2)


def learner(kind, **options):
    """A tiny learner in float64 whose Fisher matrix is exact, if it has one."""
    exact = {"hidden": (3,), "action_scale": 1.0, "inner_step_size": 0.7}
    exact |= TRUST_REGION if kind in (MamlTrpo, MetaSgd, EMaml) else {}
    made = kind(kind.configuration(**(exact | options)), SPACES, seed=0)
    made.parameters = made.parameters.double()
    made.parameters[-SPACES.action :] = torch.tensor([-0.2, 0.3], dtype=torch.float64)
    if hasattr(made, "optimizer"):
        made.optimizer = torch.optim.Adam([made.parameters], lr=made.config.learning_rate)
    if kind is MetaSgd:
        generator = torch.Generator().manual_seed(7)
        made.rate = 1 + 0.5 * torch.randn(len(made.parameters), generator=generator, dtype=torch.float64)
    return made


def estimator(made):
    return made.config.discount, made.config.gae_lambda, made.config.action_scale


def taught(made, shots):
    """What a trial taught. `[task]`."""
    return trial_batches(trial(shots), *estimator(made))


def log_prob(made, parameters, batch):
    return policy(made, parameters, batch.obs).log_prob(batch.output)


def inner_step(made, parameters, batch, sizes):
    """One policy-gradient step, every parameter with a size of its own."""
    if not parameters.requires_grad:
        parameters = parameters.clone().requires_grad_(True)
    loss = -(log_prob(made, parameters, batch) * batch.advantage).mean()
    return parameters - sizes * torch.autograd.grad(loss, parameters, create_graph=True)[0]


def adapted(made, start, shots, sizes=0.7):
    for batch in shots:
        start = inner_step(made, start, batch, sizes)
    return start


def surrogate(made, point, tasks, split):
    """The loss after adaptation, mean over tasks, old probabilities those of the learner as it is."""
    losses = []
    for shots, batch in tasks:
        old = log_prob(made, adapted(made, *split(None, shots)), batch).detach()
        new = log_prob(made, adapted(made, *split(point, shots)), batch)
        losses.append(-((new - old).exp() * batch.advantage).mean())
    return torch.stack(losses).mean().detach()


def meta_sgd_split(made):
    """From start and factors in one vector, and batches, to what an adaptation needs."""

    def split(point, shots):
        start, rate = (made.parameters, made.rate) if point is None else point.chunk(2)
        return start, shots, 0.7 * rate

    return split


# ------------------------------------------------------------------------------------------------ several inner steps


@pytest.mark.parametrize("kind", KINDS)
def test_every_adaptation_is_one_step_more(kind):
    made = learner(kind)
    sizes = 0.7 * made.rate if kind is MetaSgd else 0.7
    before = copied(made.state_dict())
    adaptation = made.begin(TASKS, 2, NOISE)
    shots = [[] for _ in range(TASKS)]
    for rollout in trial(2).rollouts:
        adaptation = made.adapt(adaptation, rollout, NOISE)
        for task, batch in enumerate(rollout_batches(rollout, *estimator(made))):
            shots[task].append(batch)
            wanted = adapted(made, made.parameters, shots[task], sizes).detach()
            torch.testing.assert_close(adaptation[task], wanted)
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shots", [1, 3])
def test_an_update_changes_the_start_and_no_adaptation_that_was_handed_out(kind, shots):
    made = learner(kind, shots=shots)
    adaptation = made.begin(TASKS, 2, NOISE)
    kept = adaptation.clone()
    logged = made.update(trial(shots))
    assert torch.equal(adaptation, kept)
    assert not torch.equal(made.begin(TASKS, 2, NOISE), kept)
    assert all(isinstance(value, float) for value in logged.values())


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_takes_the_experience_of_every_shot_into_account(kind):
    def start_after(changed):
        made = learner(kind, shots=2)
        finished = trial(2)
        if changed is not None:
            finished.rollouts[changed].reward[:, :, ::2] += 1.0
        made.update(finished)
        return made.parameters

    same = start_after(None)
    assert torch.equal(start_after(None), same)
    for shot in range(3):  # first, middle and last
        assert not torch.allclose(start_after(shot), same, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_another_size_is_refused(kind):
    made = learner(kind)
    for name, tensor in made.state_dict().items():
        with pytest.raises(ValueError, match="parameters expected"):
            made.load_state_dict(made.state_dict() | {name: tensor[:-1]})


# ----------------------------------------------------------------------------------------------------------- Meta-SGD


@pytest.mark.parametrize("shots", [1, 3])
def test_meta_sgd_gradient_for_start_and_step_sizes_is_that_of_finite_differences(shots):
    made = learner(MetaSgd, shots=shots)
    tasks, learned = taught(made, shots), torch.cat((made.parameters, made.rate))
    found, _ = outer_gradient(made.step, made._adapted_from, learned, tasks)
    wanted = central_differences(lambda point: surrogate(made, point, tasks, meta_sgd_split(made)), learned)
    count = len(made.parameters)
    assert relative(found[:count], wanted[:count]) < 1e-6
    assert relative(found[count:], wanted[count:]) < 1e-6


@pytest.mark.parametrize("shots", [1, 3])
def test_meta_sgd_fisher_products_are_those_of_explicit_jacobians(shots):
    made = learner(MetaSgd, shots=shots)
    tasks, learned = taught(made, shots), torch.cat((made.parameters, made.rate))
    _, after = outer_gradient(made.step, made._adapted_from, learned, tasks)
    product = fisher_product(made.step, made.parameters, tasks, after, 1, 0.0, made.rate)
    found = torch.stack([product(column) for column in torch.eye(len(learned), dtype=torch.float64)], dim=1)
    split, matrices = meta_sgd_split(made), []
    for task, end in zip(tasks, after, strict=True):

        def divergence(point, task=task, end=end):
            new = policy(made, point, task.outer.obs)
            return kl_divergence(policy(made, end, task.outer.obs), new).mean()

        def of_learned(point, task=task):
            return adapted(made, *split(point, task.inner))

        jacobian = torch.autograd.functional.jacobian(of_learned, learned)  # [parameter, 2 * parameter]
        matrices.append(jacobian.T @ torch.autograd.functional.hessian(divergence, end) @ jacobian)
    assert relative(found, torch.stack(matrices).mean(dim=0)) < 1e-8


def test_meta_sgd_steps_on_start_and_step_sizes_within_the_bound():
    made, before = learner(MetaSgd), learner(MetaSgd)
    tasks, split = taught(made, 1), meta_sgd_split(before)
    logged = made.update(trial(1))
    learned = torch.cat((made.parameters, made.rate))
    assert (made.parameters != before.parameters).any()
    assert (made.rate != before.rate).any()
    losses = [surrogate(before, point, tasks, split) for point in (None, learned)]
    assert losses[1] < losses[0]
    divergences = []
    for shots, batch in tasks:
        old, new = (
            policy(made, adapted(before, *split(point, shots)).detach(), batch.obs) for point in (None, learned)
        )
        divergences.append(float(kl_divergence(old, new).mean()))
    assert 0.1 * made.config.kl_bound < sum(divergences) / TASKS <= made.config.kl_bound * (1 + 1e-9)
    assert logged["step_size"] == pytest.approx(0.7 * float(made.rate.mean()))


def test_meta_sgd_begins_as_maml():
    options = {"hidden": (3,)}
    made = [kind(kind.configuration(**options), SPACES, seed=0) for kind in (MetaSgd, MamlTrpo)]
    rollout = fake_rollout(TASKS, 2, 6, SPACES.observation, SPACES.action, 0)
    first, second = (one.adapt(one.begin(TASKS, 2, NOISE), rollout, NOISE) for one in made)
    assert torch.equal(first, second)


# ------------------------------------------------------------------------------------------------------------- E-MAML


def first_episode_returns(rollout):
    """Undiscounted return of each task's first episodes, mean over its worlds, added up step by step."""
    found = []
    for rewards, ends in zip(rollout.reward, rollout.done, strict=True):
        total = 0.0
        for world in range(len(rewards)):
            for time in range(len(rewards[world])):
                total += float(rewards[world, time])
                if ends[world, time]:
                    break
        found.append(total / len(rewards))
    return torch.tensor(found, dtype=torch.float64)


def credited_loss(made, start, tasks, weight):
    """MAML's loss and the sampling term: the ratios of all rollouts before the last, times the return after it."""
    returns = first_episode_returns(trial(made.config.shots).rollouts[-1])
    credits = (returns - returns.mean()) / returns.std(correction=0)
    loss = surrogate(made, start, tasks, lambda point, shots: (made.parameters if point is None else point, shots))
    for credit, (shots, _) in zip(credits, tasks, strict=True):
        for shot, batch in enumerate(shots):
            old = log_prob(made, adapted(made, made.parameters, shots[:shot]), batch).detach()
            new = log_prob(made, adapted(made, start, shots[:shot]), batch)
            loss = loss - weight * credit * (new - old).exp().mean() / TASKS
    return loss.detach()


@pytest.mark.parametrize("shots", [1, 3])
def test_e_maml_gradient_is_that_of_finite_differences(shots):
    made = learner(EMaml, shots=shots, credit_weight=0.6)
    tasks, start = taught(made, shots), made.parameters
    credits = 0.6 * _standardized_credits(trial(shots).rollouts[-1])
    acted = [made.step.policies(start, (*task.inner, task.outer)) for task in tasks]
    plain, _ = outer_gradient(made.step, made.step.after, start, tasks)
    sampling = made._credit_gradient(start, tasks, acted, credits)
    wanted = central_differences(lambda point: credited_loss(made, point, tasks, 0.6), start)
    assert relative(plain - sampling, wanted) < 1e-6
    assert relative(plain, wanted) > 0.05  # the term is no small change here


def test_e_maml_update_follows_the_credited_surrogate():
    """So much credit that nothing else counts: the update must improve it, and MAML's does not."""
    made, before = learner(EMaml, credit_weight=20.0), learner(EMaml)
    tasks = taught(made, 1)
    made.update(trial(1))
    gain = [float(credited_loss(before, point, tasks, 20.0)) for point in (before.parameters, made.parameters)]
    assert gain[1] < gain[0]
    without = learner(EMaml, credit_weight=0.0)
    without.update(trial(1))
    assert float(credited_loss(before, made.parameters, tasks, 20.0)) < float(
        credited_loss(before, without.parameters, tasks, 20.0)
    )


@pytest.mark.parametrize("shots", [1, 2])
def test_e_maml_without_credit_is_maml(shots):
    first, second = learner(EMaml, shots=shots, credit_weight=0.0), learner(MamlTrpo, shots=shots)
    for made in (first, second):
        made.update(trial(shots))
    torch.testing.assert_close(first.parameters, second.parameters)


def test_credits_are_the_returns_after_the_adaptations_compared_across_tasks():
    rollout = trial(1).rollouts[-1]
    returns = first_episode_returns(rollout)
    torch.testing.assert_close(_standardized_credits(rollout), (returns - returns.mean()) / returns.std(correction=0))
    rollout.reward.fill_(1.0)
    rollout.terminated.zero_()
    assert not _standardized_credits(rollout).any()  # all tasks went equally well: nobody gets any


# -------------------------------------------------------------------------------------------------------------- ProMP


def promp_loss(made, start, task, penalty, clip):
    """The paper's objective, to be lowered, with the inner steps on likelihood ratios."""
    at, old_at, divergences = start.clone().requires_grad_(True), made.parameters, []
    for batch in task.inner:
        old = policy(made, old_at.detach(), batch.obs)
        divergences.append(kl_divergence(old, policy(made, at, batch.obs)).mean())
        ratio = (log_prob(made, at, batch) - old.log_prob(batch.output)).exp()
        step = torch.autograd.grad(-(ratio * batch.advantage).mean(), at, create_graph=True)[0]
        at, old_at = at - 0.7 * step, adapted(made, old_at, (batch,)).detach()
    ratio = (log_prob(made, at, task.outer) - log_prob(made, old_at, task.outer).detach()).exp()
    paid = torch.where(task.outer.advantage > 0, ratio.clamp(max=1 + clip), ratio.clamp(min=1 - clip))
    return (penalty * sum(divergences) / len(divergences) - (paid * task.outer.advantage).mean()).detach()


@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("away", [0.0, 0.05])
def test_promp_gradient_is_that_of_finite_differences(shots, away):
    """In the first epoch, where the policy is still the one that acted, and in a later one."""
    made = learner(ProMp, shots=shots, kl_weight=0.3, clip=0.1)
    generator = torch.Generator().manual_seed(1)
    offset = away * torch.randn(len(made.parameters), generator=generator, dtype=torch.float64)
    for task in taught(made, shots):
        acted = made.step.policies(made.parameters, (*task.inner, task.outer))
        found = torch.func.grad(made._loss)(made.parameters + offset, task, acted)
        wanted = central_differences(
            lambda at, task=task: promp_loss(made, at, task, 0.3, 0.1), made.parameters + offset
        )
        assert relative(found, wanted) < 1e-6


def test_promp_credits_the_exploration_and_maml_does_not():
    made = learner(ProMp, kl_weight=0.0)
    tasks = taught(made, 1)
    plain, _ = outer_gradient(made.step, made.step.after, made.parameters, tasks)
    gradients = []
    for task in tasks:
        acted = made.step.policies(made.parameters, (*task.inner, task.outer))
        gradients.append(torch.func.grad(made._loss)(made.parameters, task, acted))
    assert relative(torch.stack(gradients).mean(dim=0), plain) > 0.05


def test_promp_first_epoch_is_a_step_of_adam_down_the_mean_gradient():
    made = learner(ProMp, epochs=1, learning_rate=0.01)
    start = made.parameters.clone()
    gradients = []
    for task in taught(made, 1):
        acted = made.step.policies(start, (*task.inner, task.outer))
        gradients.append(torch.func.grad(made._loss)(start, task, acted))
    gradient = torch.stack(gradients).mean(dim=0)
    made.update(trial(1))
    # Adam's first step has the learning rate's length in every direction
    torch.testing.assert_close(made.parameters, start - 0.01 * gradient / (gradient.abs() + 1e-8))


def test_promp_epochs_lower_the_loss_of_the_same_trial():
    made, before = learner(ProMp, epochs=5, learning_rate=0.01), learner(ProMp)
    logged = made.update(trial(1))
    tasks = taught(before, 1)
    losses = [
        float(torch.stack([promp_loss(before, point, task, 5e-4, 0.3) for task in tasks]).mean())
        for point in (before.parameters, made.parameters)
    ]
    assert losses[1] < losses[0]
    assert logged["loss_first_epoch"] == pytest.approx(losses[0])
    assert logged["loss_last_epoch"] < logged["loss_first_epoch"]


# ------------------------------------------------------------------------------------------------------------ Reptile


@pytest.mark.parametrize("shots", [1, 3])
def test_reptile_goes_to_where_a_step_on_every_rollout_leads(shots):
    made = learner(Reptile, shots=shots, learning_rate=0.02)
    start = made.parameters.clone()
    ends = []
    for inner, outer in taught(made, shots):
        ends.append(adapted(made, start, (*inner, outer)).detach())
    way = torch.stack(ends).mean(dim=0) - start
    logged = made.update(trial(shots))
    torch.testing.assert_close(made.parameters.grad, -way)
    torch.testing.assert_close(made.parameters, start + 0.02 * way / (way.abs() + 1e-8))
    assert logged["way"] == pytest.approx(float(way.norm()))


@pytest.mark.parametrize("kind", [ProMp, Reptile])
def test_what_adam_remembers_is_saved_but_is_not_the_policys(kind):
    made, other = learner(kind), learner(kind)
    made.update(trial(1))
    other.load_state_dict(made.state_dict())
    for one in (made, other):
        one.update(trial(1))
    assert torch.equal(made.parameters, other.parameters)
    assert [name for name in made.state_dict() if not name.startswith("training/")] == ["parameters"]
    fresh = learner(kind)
    fresh.load_state_dict({"parameters": made.parameters})
    assert torch.equal(fresh.parameters, made.parameters)


def test_every_one_has_its_name():
    names = {"maml-trpo": MamlTrpo, "meta-sgd": MetaSgd, "e-maml": EMaml, "promp": ProMp, "reptile": Reptile}
    for name, kind in names.items():
        assert registry.find(name).load() is kind
        assert kind.pools_worlds
