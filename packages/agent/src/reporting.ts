/** What others may know of this agent and ask of it, put together: the collector by the uplink, people by the control socket. */
import type { HostFacts } from '@relight/shared/status';
import type { AgentContext } from './agent-context.ts';
import type { AgentSpec } from './config/spec.ts';
import { Orders } from './control/orders.ts';
import { ControlSockets } from './control/sockets.ts';
import type { AgentStatus } from './control/status.ts';
import type { ConfigReload } from './config-reload.ts';
import type { EngineWiring } from './engine-wiring.ts';
import type { EventKeeping } from './event-keeping.ts';
import { AgentMeter } from './host/agent-meter.ts';
import { findGroupId } from './host/groups.ts';
import type { HostLevel } from './host-level.ts';
import { TokenRenewal } from './uplink/renewal.ts';
import { Uplink } from './uplink/uplink.ts';
import { agentVersion } from './version.ts';
import type { WorkloadLoop } from './workload-loop.ts';
import type { WorkloadWiring } from './workload-wiring.ts';

export interface ReportingOptions {
  readonly context: AgentContext;
  readonly events: EventKeeping;
  readonly host: HostLevel;
  readonly engine: EngineWiring;
  readonly workloads: WorkloadWiring;
  readonly loops: ReadonlyMap<string, WorkloadLoop>;
  readonly config: ConfigReload;
  /** Calls of the engine. */
  readonly calls: () => { readonly ended: number; readonly failed: number; readonly ms: number };
}

type Health = Pick<AgentStatus, 'metrics' | 'conditions' | 'accelerators' | 'workloads'> & {
  readonly gate: ReturnType<HostLevel['gate']['status']>;
};

export class Reporting {
  readonly control: ControlSockets;
  /** Null: the agent works alone. */
  readonly uplink: Uplink | null;
  readonly #renewal: TokenRenewal | null;
  readonly #meter: AgentMeter;
  readonly #orders: Orders;
  readonly #options: ReportingOptions;

  constructor(options: ReportingOptions) {
    this.#options = options;
    this.#orders = this.#ordering();
    const { clock, spec, stateDir, logger } = options.context;
    this.uplink = spec.collector === null ? null : this.#dialer(spec.collector);
    this.#renewal = this.#renewing(spec.collector);
    this.#meter = this.#metering();
    this.control = new ControlSockets({
      stateDir,
      group: spec.control.group,
      handlers: (by) => ({
        status: () => this.#status(),
        recent: () => {
          const { events, context, workloads } = options;
          return workloads.withoutSecrets({ events: events.recent.list(), log: context.ownLog.recent.list() });
        },
        reload: ({ dryRun }) => options.config.reload('command', dryRun),
        act: (action) => this.#orders.give(action, by),
      }),
      clock,
      groupId: (name) => findGroupId(name, clock),
      onError: (message) => logger.error(message),
      onMended: (message) => logger.info(message),
    });
  }

  /** From now on standstills are noticed. */
  start(): void {
    this.#meter.start();
  }

  /** With every sample of the host's metrics. */
  measure(): void {
    const { events, host } = this.#options;
    this.#meter.measure();
    host.conditions.set('event-queue', events.conditions());
  }

  startUplink(): void {
    this.uplink?.start();
    this.#renewal?.start();
  }

  async stopUplink(reason: 'stopped' | 'rebooting'): Promise<void> {
    this.#meter.dispose();
    this.#renewal?.stop();
    await this.uplink?.stop(reason);
  }

  #metering(): AgentMeter {
    const { context, events, engine, workloads, config, calls } = this.#options;
    return new AgentMeter(context.clock, {
      look: () => engine.lastLook,
      calls,
      config: () => {
        const { loadedAt, refused } = config.status();
        return { ok: refused === null, readAt: loadedAt };
      },
      uplink: () => (this.uplink === null ? null : { ...this.uplink.counts, waiting: this.uplink.state().lagEvents }),
      events: () => events.outbox.backlog(),
      logs: () => workloads.shipper.backlog(),
    });
  }

  #renewing(collector: AgentSpec['collector']): TokenRenewal | null {
    if (collector === null || collector.joinedFile === null) return null;
    const { context, host } = this.#options;
    const { clock, logger, identity, machineId, spec } = context;
    return new TokenRenewal({
      file: collector.joinedFile,
      identity: { agentId: identity.agentId, machineId, host: spec.host.name },
      clock,
      logger,
      onRenewed: () => this.uplink?.comeBack('the token was renewed'),
      report: (conditions) => host.conditions.set('collector-token', conditions),
    });
  }

  #dialer(collector: NonNullable<AgentSpec['collector']>): Uplink {
    const { context, events, engine, workloads } = this.#options;
    const { clock, random, logger, identity, machineId, bootId, spec } = context;
    const { host } = spec;
    return new Uplink({
      spec: collector,
      clock,
      random,
      logger,
      outbox: events.outbox,
      logs: workloads.shipper,
      incidents: events.incidents.incidents,
      hello: () => ({
        agentId: identity.agentId,
        machineId,
        bootId,
        host: host.name,
        labels: { ...host.labels },
        version: agentVersion,
        facts: this.#facts(),
        remoteActions: host.remoteActions,
      }),
      status: () => {
        const { metrics, ...health } = this.#health();
        const agent = this.#meter.last;
        return { ...health, ...(metrics === null ? {} : { metrics }), ...(agent === null ? {} : { agent }), engine: engine.state };
      },
      onFleetSize: (size) => workloads.fleetSizeIs(size),
      onAction: (action) => {
        if (!host.remoteActions) {
          return Promise.resolve({
            ok: false,
            code: 'action-refused',
            message: `host ${host.name} refuses remote actions (host.remote_actions)`,
          });
        }
        return this.#orders.give(action, 'by an operator');
      },
    });
  }

  #ordering(): Orders {
    const { context, host, loops, engine, workloads } = this.#options;
    return new Orders({
      loops,
      engineAway: () => (engine.state === 'up' ? null : engine.reason),
      absent: (images) => workloads.held.absent(images),
      now: () => context.steadyNow(),
      retrySetup: () => host.gate.retrySetup(),
      tryNow: (workload) => workloads.held.tryNow(workload),
      waiting: (workload) => workloads.held.waiting(workload),
    });
  }

  #facts(): HostFacts {
    const { host, engine } = this.#options;
    const { info } = engine;
    return { ...host.facts(), ...(info === null ? {} : { engineVersion: info.version, engineApiVersion: info.apiVersion }) };
  }

  /** What is said alike to the collector and to people on the host. */
  #health(): Health {
    const { host, workloads } = this.#options;
    return {
      metrics: host.metrics,
      conditions: host.conditions.list(),
      gate: host.gate.status(),
      accelerators: host.accelerators.list(),
      workloads: workloads.statuses(),
    };
  }

  #status(): AgentStatus {
    const { context, engine, workloads } = this.#options;
    const { spec, identity, bootId, startedAt } = context;
    const { collector, host } = spec;
    return {
      agentId: identity.agentId,
      host: host.name,
      version: agentVersion,
      bootId,
      startedAt,
      engine: { state: engine.state, reason: engine.reason, version: engine.info?.version ?? null },
      configuration: this.#options.config.status(),
      collector: collector === null || this.uplink === null ? null : { url: collector.url, ...this.uplink.state() },
      gaps: this.uplink === null ? null : { since: startedAt, ...workloads.shipper.gaps() },
      agent: this.#meter.last,
      catchingUp: this.uplink?.state().connected === true ? this.#meter.catchingUp : null,
      ...this.#health(),
    };
  }
}
