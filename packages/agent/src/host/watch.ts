/** What watches this host as such, put together: its kernel log, disks, memory, containers. Reports conditions, and tells workloads. */
import type { Clock } from '@relight/shared/clock';
import type { HostMetrics } from '@relight/shared/status';
import type { Logger } from 'pino';
import { managedLabels } from '../engine/create-options.ts';
import type { Engine } from '../engine/engine.ts';
import type { SupervisorEvent } from '../supervisor/event.ts';
import { metadataFromEnvironment, providerOf, readDmi } from './cloud/detect.ts';
import type { CloudNotice } from './cloud/notice.ts';
import { CloudWatch } from './cloud/watcher.ts';
import type { Concern } from './concerns.ts';
import type { HostConditions, ReportedCondition } from './conditions.ts';
import { ContainerSurvey } from './container-survey.ts';
import { cgroupOfContainer, type OomFact } from './kernel-log/oom.ts';
import { openKernelLog } from './kernel-log/reader.ts';
import { KernelLog, type KernelLine } from './kernel-log/watcher.ts';
import { blockMounts, nameOfDevice, namesOf } from './kernel-log/block-mounts.ts';
import type { XidFact } from './kernel-log/xid.ts';
import { ReadOnlyWatch } from './read-only-watch.ts';
import { resourceConditions } from './resources.ts';
import { StateProbe } from './state-probe.ts';

export interface WatchedWorkload {
  readonly name: string;
  /** Of the container that it has now. */
  readonly containerId: string | null;
  /** Host pid of its first process; 0 while it does not run. */
  readonly pid: number;
  send(event: SupervisorEvent): void;
}

export interface HostWatchOptions {
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly stateDir: string;
  readonly ownerId: string;
  readonly engine: Pick<Engine, 'list' | 'inspectRaw'>;
  readonly conditions: Pick<HostConditions, 'set' | 'of'>;
  readonly workloads: () => Iterable<WatchedWorkload>;
  /** RELIGHT_METADATA_URL; a bad one fails with config-invalid. */
  readonly metadataUrl: string | undefined;
  /** `at`: epoch milliseconds. `history`: said before the agent came. */
  readonly onXid: (xid: XidFact, at: number, history: boolean) => void;
}

/**
 * Between two looks: the kernel needs milliseconds from the warning to the killing. It works in the name of the process that wanted the
 * memory, which on a machine with many more of them than processors has its turn now and then: then it takes hundreds.
 */
const oomLooksMs = [5, 10, 20, 40, 80, 160, 320, 640];

const words: Readonly<Record<CloudNotice['kind'], string>> = {
  preemption: 'this machine is preempted',
  maintenance: 'maintenance of this machine',
  reboot: 'this machine is rebooted by the cloud',
  freeze: 'this machine is paused by the cloud',
};

export class HostWatch {
  readonly #options: HostWatchOptions;
  readonly #kernel: KernelLog;
  readonly #probe: StateProbe;
  readonly #readOnly: ReadOnlyWatch;
  readonly #survey: ContainerSurvey;
  /** Containers of which the kernel log has told a killing since the engine did. */
  readonly #namedOom = new Set<string>();
  #engineRoot: string | null = null;
  /** Null off the clouds that are known. */
  readonly #cloud: CloudWatch | null;

  constructor(options: HostWatchOptions) {
    this.#options = options;
    const { clock, conditions, stateDir, engine, ownerId } = options;
    this.#kernel = new KernelLog({
      clock,
      open: () => openKernelLog(),
      // CLOCK_MONOTONIC, which the stamps of the kernel log follow.
      bootUs: () => Number(process.hrtime.bigint() / 1_000n),
      blockMounts,
      onOom: (fact) => this.#oom(fact),
      onXid: options.onXid,
      report: (list) =>
        conditions.set(
          'kernel-log',
          concerning(list, (device) => this.#concernOfDevice(device)),
        ),
      onUnreadable: (reason) => this.#unreadable(reason),
    });
    this.#cloud = this.#cloudWatch(options.metadataUrl);
    this.#readOnly = this.#readOnlyWatch();
    this.#probe = new StateProbe({
      clock,
      stateDir,
      report: (list) => {
        this.#readOnly.look();
        const said = new Set([...this.#saidByKernel(), ...subjectsOf(conditions.of('mounts'))]);
        conditions.set('state-directory', without(list, said));
      },
    });
    this.#survey = new ContainerSurvey({
      clock,
      engine,
      ownerId,
      ownerLabel: managedLabels.agent,
      report: (list) => conditions.set('containers', list),
    });
  }

  start(): void {
    this.#kernel.start();
    this.#readOnly.start();
    this.#probe.start();
    this.#survey.start();
    this.#cloud?.start();
  }

  dispose(): void {
    this.#kernel.dispose();
    this.#readOnly.dispose();
    this.#probe.dispose();
    this.#survey.dispose();
    this.#cloud?.dispose();
  }

  sampled(metrics: HostMetrics): void {
    const { conditions } = this.#options;
    const found = resourceConditions(metrics, conditions.of('resources'));
    conditions.set(
      'resources',
      concerning(found, (path) => this.#readOnly.concernOfPath(path)),
    );
  }

  /** Where the engine keeps its data, once it is known. */
  engineRootIs(path: string): void {
    this.#engineRoot = path;
  }

  /**
   * The engine says that something in a container is killed for want of memory. It may say so before the kernel has chosen whom:
   * the kernel log is looked at until it names the process, for a moment at most; then `unnamed` is called.
   */
  oomSeen(containerId: string, unnamed: () => void): void {
    this.#namedOom.delete(containerId);
    const look = ([wait, ...later]: readonly number[]): void => {
      this.#kernel.look();
      if (this.#namedOom.delete(containerId)) return;
      if (wait === undefined || !this.#kernel.readable) unnamed();
      else this.#options.clock.after(wait, () => look(later));
    };
    look(oomLooksMs);
  }

  /** The last records of the kernel log, oldest first. `since`: epoch milliseconds. */
  kernelLines(since?: number): readonly KernelLine[] {
    return this.#kernel.lines(since);
  }

  /** The machine is announced to go: what the cloud said last; null when nothing was. */
  get departure(): CloudNotice | null {
    return this.#cloud?.departure ?? null;
  }

  /** A workload has come after it was said. */
  tellDeparture(workload: Pick<WatchedWorkload, 'send'>): void {
    const notice = this.departure;
    if (notice !== null) workload.send(drainFor(notice));
  }

  #readOnlyWatch(): ReadOnlyWatch {
    const { clock, conditions, stateDir, workloads } = this.#options;
    return new ReadOnlyWatch({
      clock,
      stateDir,
      engineRoot: () => this.#engineRoot,
      containers: () => [...workloads()].filter(({ pid }) => pid > 0).map(({ name, pid }) => ({ workload: name, pid })),
      raised: () => conditions.of('mounts').map(({ subject }) => subject),
      report: (list) => {
        // Of errors the kernel tells as well, with the reason: that comes first.
        this.#kernel.look();
        conditions.set('mounts', without(list, this.#saidByKernel()));
      },
    });
  }

  /** Mount points of which the kernel log has said that they are read-only. */
  #saidByKernel(): ReadonlySet<string> {
    const devices = subjectsOf(this.#options.conditions.of('kernel-log'));
    if (devices.size === 0) return devices;
    return new Set(blockMounts().flatMap(({ names, mountPoint }) => (names.some((name) => devices.has(name)) ? [mountPoint] : [])));
  }

  #concernOfDevice(device: string): Concern {
    return this.#readOnly.concernOf((mount) => namesOf(mount, nameOfDevice).includes(device));
  }

  #cloudWatch(metadataUrl: string | undefined): CloudWatch | null {
    const { clock, conditions, workloads, logger } = this.#options;
    const told = metadataFromEnvironment(metadataUrl);
    const provider = told?.provider ?? providerOf(readDmi());
    if (provider === null) {
      logger.info('no cloud that Relight knows: nobody is asked for preemption and maintenance');
      return null;
    }
    logger.info({ provider }, 'the metadata server of the cloud is asked for preemption and maintenance');
    return new CloudWatch({
      clock,
      provider,
      ...(told === null ? {} : { base: told.base }),
      report: (list) => conditions.set('cloud', list),
      onDeparture: (notice) => {
        for (const workload of workloads()) {
          if (notice === null) workload.send({ type: 'drain-over' });
          else workload.send(drainFor(notice));
        }
      },
    });
  }

  #oom({ pid, name, constraint, cgroup }: OomFact): void {
    for (const workload of this.#options.workloads()) {
      const { containerId } = workload;
      if (containerId === null || !cgroupOfContainer(cgroup, containerId)) continue;
      this.#namedOom.add(containerId);
      workload.send({ type: 'oom', process: { pid, name }, constraint });
    }
  }

  #unreadable(reason: string): void {
    const advice =
      'Run the agent as root on the host itself, or with CAP_SYSLOG; without it, who was killed for want of memory, Xids and disk errors stay unknown.';
    this.#options.logger.warn({ reason, advice }, 'the kernel log cannot be read');
    const subject = '/dev/kmsg';
    this.#options.conditions.set('kernel-log', [
      { name: 'kernel-log', subject, severity: 'info', reason: `cannot be read: ${reason}`, advice },
    ]);
  }
}

const drainFor = ({ kind, text }: CloudNotice): SupervisorEvent => ({ type: 'drain', reason: `${words[kind]}: ${text}`, until: null });

const readOnly = 'read-only-filesystem';

function subjectsOf(conditions: readonly ReportedCondition[]): ReadonlySet<string> {
  return new Set(conditions.filter(({ name }) => name === readOnly).map(({ subject }) => subject));
}

/** One file system that is read-only is one condition, whoever notices it. */
const without = (list: readonly ReportedCondition[], said: ReadonlySet<string>): readonly ReportedCondition[] =>
  list.filter(({ name, subject }) => name !== readOnly || !said.has(subject));

/** Conditions of file systems with those whom they concern, for what explains an incident. */
const concerning = (list: readonly ReportedCondition[], concernOf: (subject: string) => Concern): readonly ReportedCondition[] =>
  list.map((condition) =>
    ofFileSystem.has(condition.name) ? { ...condition, data: { ...condition.data, concerns: concernOf(condition.subject) } } : condition,
  );

const ofFileSystem: ReadonlySet<string> = new Set([readOnly, 'disk-full', 'inodes-low']);
