/**
 * Up one level, with memory: process ▸ the same container started again (each step's `verify` run, only what fails redone) ▸
 * a new container ▸ a person. A rung is taken once; healthy for `container.reset_after`, and it begins below again.
 */
import type { Failure } from './op.ts';
import type { Rung } from './state.ts';
import type { Work } from './work.ts';

const said: Readonly<Record<Exclude<Rung, 'process'>, string>> = {
  'container-start': 'the same container is started again',
  'container-recreate': 'a new container',
};

/** `failures` of the process level in a row: the container is what is doubted next. */
export function escalate(work: Work, failure: Failure, failures: number): void {
  const { rung, container } = work.state;
  const to = rung === 'process' && container?.running === true ? 'container-start' : 'container-recreate';
  take(work, rung, to, `${failures} failures of the process in a row`, failures, failure);
  work.set(to === 'container-start' ? { again: true } : { replace: work.state.container !== null });
}

/** With `on_death: start`, one container that dies so often is not started any more. */
export function doubtContainer(work: Work, failure: Failure): void {
  const { history, rung } = work.state;
  if (work.spec.container.onDeath === 'recreate' || rung === 'container-recreate') {
    work.set({ replace: true });
    return;
  }
  const failures = history.container.failures + 1;
  if (failures < deathsMax) return;
  take(work, 'container-start', 'container-recreate', `${failures} deaths of one container in a row`, failures, failure);
  work.set({ replace: true });
}

/** As for the process: three of a kind are no accident. */
const deathsMax = 3;

/** Everything has been tried, and more often than the budget allows: slow retries go on, a person is called. */
export function tellPerson(work: Work, failure: Failure): void {
  const failures = work.state.history.container.failures;
  work.emit('restart.escalated', 'error', `${failures} failures of the container in a row: a person is needed (${failure.message})`, {
    code: failure.code,
    level: 'host',
    from: work.state.rung === 'process' ? 'container-recreate' : work.state.rung,
    to: 'person',
    failures,
    advice: failure.advice,
  });
}

function take(work: Work, from: Rung, to: Exclude<Rung, 'process'>, why: string, failures: number, failure: Failure): void {
  work.emit('restart.escalated', 'warning', `${why}: ${said[to]} (last: ${failure.message})`, {
    code: failure.code,
    level: 'container',
    from,
    to,
    failures,
  });
  work.set({ rung: to });
}
