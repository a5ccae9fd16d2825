/** What watches this host as such, put together: its kernel log, disks, memory, containers. Reports conditions, and tells workloads. */
import type { Clock } from '@relight/shared/clock';
import type { HostMetrics } from '@relight/shared/status';
import type { Logger } from 'pino';
import { managedLabels } from '../engine/create-options.ts';
import type { Engine } from '../engine/engine.ts';
import type { SupervisorEvent } from '../supervisor/event.ts';
import type { HostConditions } from './conditions.ts';
import { ContainerSurvey } from './container-survey.ts';
import { cgroupOfContainer, type OomFact } from './kernel-log/oom.ts';
import { openKernelLog } from './kernel-log/reader.ts';
import { KernelLog, type KernelLine } from './kernel-log/watcher.ts';
import { writableDevices } from './kernel-log/writable-devices.ts';
import type { XidFact } from './kernel-log/xid.ts';
import { resourceConditions } from './resources.ts';
import { StateProbe } from './state-probe.ts';

export interface WatchedWorkload {
  /** Of the container that it has now. */
  readonly containerId: string | null;
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
  /** `at`: epoch milliseconds. `history`: said before the agent came. */
  readonly onXid: (xid: XidFact, at: number, history: boolean) => void;
}

export class HostWatch {
  readonly #options: HostWatchOptions;
  readonly #kernel: KernelLog;
  readonly #probe: StateProbe;
  readonly #survey: ContainerSurvey;

  constructor(options: HostWatchOptions) {
    this.#options = options;
    const { clock, conditions, stateDir, engine, ownerId } = options;
    this.#kernel = new KernelLog({
      clock,
      open: () => openKernelLog(),
      // CLOCK_MONOTONIC, which the stamps of the kernel log follow.
      bootUs: () => Number(process.hrtime.bigint() / 1_000n),
      writableDevices,
      onOom: (fact) => this.#oom(fact),
      onXid: options.onXid,
      report: (list) => conditions.set('kernel-log', list),
      onUnreadable: (reason) => this.#unreadable(reason),
    });
    this.#probe = new StateProbe({ clock, stateDir, report: (list) => conditions.set('state-directory', list) });
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
    this.#probe.start();
    this.#survey.start();
  }

  dispose(): void {
    this.#kernel.dispose();
    this.#probe.dispose();
    this.#survey.dispose();
  }

  sampled(metrics: HostMetrics): void {
    const { conditions } = this.#options;
    conditions.set('resources', resourceConditions(metrics, conditions.of('resources')));
  }

  /** The engine has seen a killing: the kernel log says who it was. */
  lookAtKernelLog(): void {
    this.#kernel.look();
  }

  /** The last records of the kernel log, oldest first. `since`: epoch milliseconds. */
  kernelLines(since?: number): readonly KernelLine[] {
    return this.#kernel.lines(since);
  }

  #oom({ pid, name, constraint, cgroup }: OomFact): void {
    for (const { containerId, send } of this.#options.workloads()) {
      if (containerId !== null && cgroupOfContainer(cgroup, containerId)) send({ type: 'oom', process: { pid, name }, constraint });
    }
  }

  #unreadable(reason: string): void {
    const advice = 'Run the agent as root on the host itself, or with CAP_SYSLOG; without it, who was killed for want of memory, Xids and disk errors stay unknown.';
    this.#options.logger.warn({ reason, advice }, 'the kernel log cannot be read');
    const subject = '/dev/kmsg';
    this.#options.conditions.set('kernel-log', [{ name: 'kernel-log', subject, severity: 'info', reason: `cannot be read: ${reason}`, advice }]);
  }
}
