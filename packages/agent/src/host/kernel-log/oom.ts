/**
 * The kernel kills for want of memory and says so in several lines, which differ by version:
 *
 *   from 5.0   oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/docker/ID,task_memcg=/docker/ID,task=python,pid=7,uid=0
 *              Memory cgroup out of memory: Killed process 7 (python) total-vm:…
 *   4.19       Task in /docker/ID killed as a result of limit of /docker/ID
 *              Memory cgroup out of memory: Kill process 7 (python) score 999 or sacrifice child
 *              Killed process 7 (python) total-vm:…
 *   the host   the same with CONSTRAINT_NONE,…,global_oom and `Out of memory: Killed process …`
 *
 * One fact a killed process. Pure: what the lines before have said is carried along.
 */

export interface OomFact {
  readonly kind: 'oom';
  readonly pid: number;
  /** At most 15 characters, as the kernel has it. */
  readonly name: string;
  /** Whose memory was short: that of a memory cgroup (a container, a slice), or the whole host's. */
  readonly constraint: 'container' | 'host';
  /** The memory cgroup that the process was in, from the root of the hierarchy; null when nothing told. */
  readonly cgroup: string | null;
  /** The one whose limit was reached; null for the host. */
  readonly limitOf: string | null;
  /** Of its anonymous memory, when it was killed. */
  readonly residentBytes: number | null;
}

/** What is known before the killing itself is told. */
export interface OomContext {
  readonly constraint: 'container' | 'host' | null;
  readonly cgroup: string | null;
  readonly limitOf: string | null;
}
export const noOom: OomContext = { constraint: null, cgroup: null, limitOf: null };

const summary = /^oom-kill:constraint=(\w+),/;
const oldTask = /^Task in (\S+) killed as a result of limit of (\S+)/;
const oldKill = /^(Memory cgroup out of memory|Out of memory[^:]*): Kill process \d+ /;
const killed = /^(?:(Memory cgroup out of memory|Out of memory[^:]*): )?Killed process (\d{1,10}) \((.*)\)(?:, UID \d+)?,? total-vm:/;
/** Lines that begin the report of a new killing: what was known before is about another one. */
const begins = / invoked oom-killer: /;

export function oomStep(before: OomContext, text: string): { readonly context: OomContext; readonly fact: OomFact | null } {
  const told = summary.exec(text);
  if (told !== null) return { context: ofSummary(told[1] ?? '', text), fact: null };
  const old = oldTask.exec(text);
  if (old !== null) return { context: { constraint: 'container', cgroup: old[1] ?? null, limitOf: old[2] ?? null }, fact: null };
  const announced = oldKill.exec(text);
  if (announced !== null) {
    const constraint = constraintOf(announced[1]);
    return { context: constraint === 'host' ? { ...noOom, constraint } : { ...before, constraint }, fact: null };
  }
  const kill = killed.exec(text);
  if (kill === null) return { context: begins.test(text) ? noOom : before, fact: null };
  const constraint = kill[1] === undefined ? (before.constraint ?? 'host') : constraintOf(kill[1]);
  const resident = /\banon-rss:(\d{1,15})kB/.exec(text)?.[1];
  // A whole group may be killed (memory.oom.group): the context stays for the next of them.
  return {
    context: before,
    fact: {
      kind: 'oom',
      pid: Number(kill[2]),
      name: kill[3] ?? '',
      constraint,
      cgroup: before.cgroup,
      limitOf: constraint === 'host' ? null : before.limitOf,
      residentBytes: resident === undefined ? null : Number(resident) * 1024,
    },
  };
}

const constraintOf = (words: string | undefined): 'container' | 'host' =>
  words?.startsWith('Memory cgroup') === true ? 'container' : 'host';

/** A task's name may hold commas and equals signs, and stands behind the groups: the groups are read from the front. */
function ofSummary(constraint: string, text: string): OomContext {
  const group = (name: string): string | null => new RegExp(`,${name}=([^,]*)`).exec(text)?.[1] ?? null;
  const memcg = constraint === 'CONSTRAINT_MEMCG';
  return { constraint: memcg ? 'container' : 'host', cgroup: group('task_memcg'), limitOf: memcg ? group('oom_memcg') : null };
}

/** Whether a cgroup (v1 or v2, cgroupfs or systemd: `/docker/ID`, `/system.slice/docker-ID.scope`, below a parent) is the container's. */
export function cgroupOfContainer(cgroup: string | null, containerId: string): boolean {
  return cgroup !== null && containerId !== '' && cgroup.includes(containerId);
}
