/** Places one mount: adopts it, or clears the target, runs the program and waits until the mount is there and answers. */
import { delay } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { formatDurationMs } from '@relight/shared/units';
import { MountProbes } from '../checks/mount.ts';
import type { MountProbeResult } from '../checks/probe.ts';
import type { MountSpec } from '../config/spec.ts';
import type { Op, OpValue, RunHandle, RunRef } from '../supervisor/op.ts';
import { containerOf, runningContainer, throwIfAborted } from './context.ts';
import { clearMount } from './mount-clear.ts';
import { unreachableBucket } from './mount-proof.ts';
import { isWanted, mountCommand, mountFailure } from './mount-program.ts';
import { describeExit, splitLines, tailBytes } from './output.ts';
import { fuseOnTop, normalPath, readMountinfo } from './proc.ts';
import type { RunExit } from './runs.ts';
import { runOwnerOf, type StageContext } from './stage.ts';

/** Mountinfo cannot be watched with inotify. */
const pollMs = { first: 5, last: 20 };
/** A daemon answers statfs without its network; one that does not within this is as good as hung. */
const probeTimeoutMs = 1_000;

/** Fails with mount-failed or mount-stuck. */
export async function mount(op: Extract<Op, { kind: 'mount' }>, context: StageContext): Promise<Extract<OpValue, { kind: 'mount' }>> {
  const spec = context.spec.mounts.find(({ name }) => name === op.mount);
  if (spec === undefined) throw new RelightError('internal', `there is no mount "${op.mount}"`);
  const { pid } = await runningContainer(context);
  const probes = context.mountProbes ?? new MountProbes({ clock: context.clock });
  const probe = (timeoutMs: number) => probes.probe({ containerPid: pid, target: spec.target, timeoutMs, signal: context.signal });

  const present = fuseOnTop(readMountinfo('/proc', pid) ?? [], spec.target);
  if (present !== null) {
    const { condition } = await probe(Math.min(probeTimeoutMs, spec.check.timeoutMs));
    throwIfAborted(context.signal);
    if (condition === 'ok' && isWanted(present, spec, context.vars)) return { kind: 'mount', run: null };
    context.progress(`mount ${spec.name}: remove the ${condition === 'ok' ? 'other' : condition} mount`);
    await stopEarlier(spec, context);
    await clearMount(spec.target, pid, condition !== 'ok', context);
  }
  return { kind: 'mount', run: await place(spec, op.run, pid, probe, context) };
}

/** The daemons of this mount's earlier runs, wherever they are stuck. */
async function stopEarlier(spec: MountSpec, context: StageContext): Promise<void> {
  const { runs, signal } = context;
  const containerId = containerOf(context);
  const earlier = (await runs.list(containerId, runOwnerOf(context))).filter(({ kind, name }) => kind === 'mount' && name === spec.name);
  await runs.stop(earlier, containerId, 0, signal);
}

type MountProbe = (timeoutMs: number) => Promise<MountProbeResult>;

async function place(spec: MountSpec, run: RunRef, pid: number, probe: MountProbe, context: StageContext): Promise<RunHandle> {
  const { runs, vars, generation, clock } = context;
  const containerId = containerOf(context);
  const before = fuseMounts(pid);
  context.progress(`mount ${spec.name}`);
  const handle = await runs.start(
    {
      run,
      containerId,
      generation,
      workload: context.spec.name,
      command: mountCommand(spec, vars),
      shell: context.spec.shell,
      env: vars,
      directory: spec.target,
    },
    context.signal,
  );
  const watch = new AbortController();
  const ended: { exit: RunExit | null } = { exit: null };
  void runs.exited(handle, containerId, AbortSignal.any([context.signal, watch.signal])).then(
    (exit) => (ended.exit = exit),
    () => null,
  );
  const output = async (): Promise<readonly string[]> => splitLines(await runs.tail(run, context.spec.name, generation, tailBytes));
  try {
    const deadline = clock.monotonic() + spec.timeoutMs;
    for (let pause = pollMs.first; ; pause = Math.min(pause * 2, pollMs.last)) {
      // Exit code 0: it went into the background and the mount may still come.
      const { exit } = ended;
      if (fuseMounts(pid).includes(normalPath(spec.target)) && (await probe(probeTimeoutMs)).condition === 'ok') {
        if ((await unreachableBucket(spec, pid, output, context)) === null) return handle;
        const lines = await output();
        await runs.stop([handle], containerId, 0, context.signal);
        await clearMount(spec.target, pid, true, context);
        throw mountFailure(spec, 'it is there, but does not reach its bucket', lines, null);
      }
      throwIfAborted(context.signal);
      if (exit !== null && exit.exitCode !== 0) throw mountFailure(spec, describeExit(exit), await output(), exit.exitCode);
      if (clock.monotonic() >= deadline) throw await missing(spec, handle, before, fuseMounts(pid), await output(), context);
      await delay(clock, pause, context.signal).catch(() => throwIfAborted(context.signal));
    }
  } finally {
    watch.abort();
  }
}

async function missing(
  spec: MountSpec,
  handle: RunHandle,
  before: readonly string[],
  after: readonly string[],
  output: readonly string[],
  context: StageContext,
): Promise<RelightError> {
  await context.runs.stop([handle], containerOf(context), 0, context.signal);
  const elsewhere = after.find((mountPoint) => !before.includes(mountPoint));
  if (elsewhere === undefined || elsewhere === normalPath(spec.target)) {
    return mountFailure(spec, `no answering mount at ${spec.target} within ${formatDurationMs(spec.timeoutMs)}`, output, null);
  }
  return new RelightError('mount-failed', `mount ${spec.name}: it appeared at ${elsewhere} instead of ${spec.target}`, {
    recoverable: false,
    advice: `${spec.target} goes through a symbolic link in the image: give ${elsewhere} as the target.`,
  });
}

function fuseMounts(pid: number): string[] {
  const mounts = readMountinfo('/proc', pid) ?? [];
  return mounts.map(({ mountPoint }) => mountPoint).filter((mountPoint) => fuseOnTop(mounts, mountPoint) !== null);
}
