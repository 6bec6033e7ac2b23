// Runs a policy with every handle at both ends: { policy, steps } in, what it showed and was paid out.
import { answer, control, given, sessionOf } from './page.mjs';

const { policy, steps } = given(), session = await sessionOf(policy);
control(session, steps);
for (const handle of policy.handles) {
  const ends = handle.choices ? [handle.choices.at(-1).value] : [handle.min, handle.max];
  for (const value of [...ends, handle.value]) {
    session.set(handle.id, value);
    control(session, 2);
  }
}
session.take(policy.tasks[0]);
session.restart();
control(session, 2);
session.forget();
control(session, 2);
answer({
  numbers: session.history.flatMap(one => [one.shown, one.twin, one.reward]),
  wanted: session.wanted,
  asked: session.asked,
  base: Object.keys(session.base),
});
