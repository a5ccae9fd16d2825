/**
 * The service: one agent of one host, from its first event to its last. Parts are wired to each other here and in the files it
 * puts together (host-level, workload-wiring, engine-wiring, event-keeping, reporting), and nowhere else.
 *
 *   engine ─ observer ─▶ loops (one a workload: supervisor, stages, probes) ─▶ incidents, outbox ─▶ uplink ─▶ collector
 *                          │ runs ─▶ run files ─▶ log shipper ────────────────────────────────────▲
 *   control socket ────────┘
 */
import { join } from 'node:path';
import { systemClock, type Clock } from '@relight/shared/clock';
import { errorMessage } from '@relight/shared/errors';
import { hostLogs } from '@relight/shared/log-stream';
import type { HostMetrics } from '@relight/shared/status';
import { Systemd } from '@relight/shared/systemd';
import { type AgentContext, type AgentOptions, openContext } from './agent-context.ts';
import { fileIdentity } from './config/file-identity.ts';
import { SecretValues } from './config/secret-values.ts';
import { ConfigReload } from './config-reload.ts';
import { acquireStateLock, type StateLock } from './control/state-lock.ts';
import { serviceStatus } from './control/service-status.ts';
import { AdoptingEngine } from './engine/adopting-engine.ts';
import { EngineWiring } from './engine-wiring.ts';
import { EventKeeping } from './event-keeping.ts';
import { machineGoesDown } from './host/shutdown.ts';
import { HostLevel } from './host-level.ts';
import type { LogShipper } from './logs/log-shipper.ts';
import { Reporting } from './reporting.ts';
import { claimStateDir } from './host/state-format.ts';
import { agentVersion } from './version.ts';
import type { WorkloadLoop } from './workload-loop.ts';
import { secretVars, workloadSecrets } from './workload-secrets.ts';
import { WorkloadWiring } from './workload-wiring.ts';

/**
 * Runs until SIGTERM or SIGINT; resolves with the exit code. Fails with already-running, or with config-invalid where a newer version wrote
 * the state directory. When that was deleted or taken over, or the configuration changed in a way that cannot be taken up otherwise, the
 * process starts over from its first line (same pid, so systemd sees no change). SIGHUP reads the configuration again. `serves` is called when
 * it is up.
 */
export async function runAgent(options: AgentOptions, serves: () => void): Promise<number> {
  const lock = acquireStateLock(options.stateDir);
  // Before anything is taken out of it: whoever starts over is the same service to systemd.
  const environment = { ...process.env };
  // Of the unit, for this process: what commands of the host do with their memory is not ours to say.
  delete process.env['MALLOC_ARENA_MAX'];
  try {
    claimStateDir(options.stateDir, agentVersion);
    const agent = new Agent(options, lock, systemClock);
    const signal = new Promise<NodeJS.Signals>((resolve) => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
    });
    process.on('SIGHUP', () => void agent.reload());
    await agent.start();
    serves();
    const ending = await Promise.race([signal, agent.ending]);
    if (ending === 'state-lost' || ending === 'reconfigured') {
      await agent.stop(ending);
      lock.release();
      return startOver(environment);
    }
    options.logger.info({ signal: ending }, 'stopping; workloads go on as they are');
    await agent.stop();
    return 0;
  } finally {
    lock.release();
  }
}

/** Returns only where the platform cannot do it: then whoever watches the service starts it again. */
function startOver(environment: NodeJS.ProcessEnv): number {
  process.execve?.(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], environment);
  return 1;
}

/** The state directory is ours no more; or the configuration says what only a new life can take up. */
type Ending = 'state-lost' | 'reconfigured';

class Agent {
  readonly #context: AgentContext;
  readonly #lock: StateLock;
  readonly #loops = new Map<string, WorkloadLoop>();
  readonly #events: EventKeeping;
  readonly #host: HostLevel;
  readonly #workloads: WorkloadWiring;
  readonly #engine: EngineWiring;
  readonly #systemd: Systemd;
  #reporting: Reporting | null = null;
  #isReady = false;
  #unmeasured: string | null = null;
  readonly #config: ConfigReload;
  #end: (ending: Ending) => void = () => {};
  /** Resolves when this life is over, though nobody said so from outside. */
  readonly ending = new Promise<Ending>((resolve) => {
    this.#end = resolve;
  });

  constructor(options: AgentOptions, lock: StateLock, clock: Clock) {
    this.#lock = lock;
    const context = openContext(options, clock);
    this.#context = context;
    const { spec, logger } = context;
    const loops = this.#loops;
    const engine = new AdoptingEngine({ socketPath: spec.engine.socket });
    // The host's own commands, and the agent itself, may print what is any workload's.
    const patterns = new Set(spec.workloads.flatMap(({ logs }) => logs.redact));
    const hostSecrets = new SecretValues([], null, [...patterns]);
    hostSecrets.learn(secretVars(spec.vars));
    const ofWorkloads = workloadSecrets({
      vars: spec.vars,
      workloads: spec.workloads,
      stateDir: options.stateDir,
      host: hostSecrets,
      onTrouble: (error) =>
        logger.warn({ error: errorMessage(error) }, 'what workloads of an earlier configuration kept secret is not wholly known'),
    });
    const secrets = new Map([...ofWorkloads, [hostLogs, hostSecrets] as const]);
    const onChange = (): void => {
      this.#reporting?.uplink?.statusChanged();
      this.#tellSystemd();
    };
    const events = new EventKeeping({
      context,
      engine,
      secrets: () => secrets.values(),
      secretsOf: (workload) => secrets.get(workload ?? hostLogs) ?? hostSecrets,
      containerOf: (workload) => loops.get(workload)?.state.container ?? null,
      kernelLines: (since) => this.#host.watch.kernelLines(since),
    });
    const { emit, incidents, outbox: history } = events;
    // The shipper comes with the workloads.
    const logs: LogShipper = {
      follow: (file) => this.#workloads.shipper.follow(file),
      finish: (key) => this.#workloads.shipper.finish(key),
    };
    const host = new HostLevel({ context, engine, emit, history, logs, secrets: hostSecrets, loops, onChange });
    const observe = (): void => this.#engine.observe();
    const workloads = new WorkloadWiring({ context, engine, emit, history, secrets, host, incidents, loops, observe, onChange });
    this.#events = events;
    this.#host = host;
    this.#workloads = workloads;
    // Well or badly: an engine that is away is no reason to be killed, a look that never ends is.
    const onLooked = (): void => {
      this.#tellSystemd();
      this.#systemd.progress();
    };
    this.#engine = new EngineWiring({ context, engine, events, host, workloads, loops, onLooked });
    this.#config = this.#reloading();
    const config = this.#config;
    this.#reporting = new Reporting({ context, events, host, engine: this.#engine, workloads, loops, config, calls: () => engine.calls });
    this.#systemd = new Systemd({ env: process.env, clock, onError: (message) => logger.warn(message) });
  }

  /** Resolves when the first look at the engine has been taken, or could not be. */
  async start(): Promise<void> {
    const { logger, identity, bootId, stateDir, spec } = this.#context;
    const { name } = spec.host;
    logger.info({ agentId: identity.agentId, host: name, stateDir }, 'relight-agent starts');
    this.#events.emit({
      kind: 'agent.started',
      severity: 'info',
      message: `relight-agent ${agentVersion} started on ${name}`,
      data: { version: agentVersion, bootId, identity: identity.reason },
    });
    await this.#workloads.start();
    // From here on it is known what must not leave the host.
    this.#keepOwnLog();
    await this.#reporting?.control.listen();
    this.#reporting?.start();
    this.#host.start((metrics) => void this.#sampled(metrics).catch((error: unknown) => this.#couldNotMeasure(errorMessage(error))));
    // Before anybody could begin anything.
    await this.#host.gate.start();
    for (const [workload, { state }] of this.#loops) if (state.readyAt !== null) this.#events.catchUp({ workload, readyAt: state.readyAt });
    await this.#workloads.adopt(this.#loops.values());
    await this.#engine.start();
    this.#reporting?.startUplink();
    void this.#host.completeFacts();
    this.#isReady = true;
    this.#systemd.ready(this.#words());
    this.#config.start();
  }

  reload(): Promise<unknown> {
    return this.#config.reload('signal');
  }

  #reloading(): ConfigReload {
    const context = this.#context;
    const { clock, logger, stateDirGiven, loadSpec } = context;
    return new ConfigReload({
      clock,
      current: () => context.spec,
      inForce: () => this.#workloads.held.inForce(),
      stateDirGiven,
      load: loadSpec,
      identity: fileIdentity,
      absentImages: (images) => this.#workloads.held.absent(images),
      apply: async (spec) => {
        context.configure(spec);
        await this.#workloads.configure();
        this.#events.reconfigured();
      },
      startOver: () => {
        const busy = this.#busy();
        if (busy === null) this.#end('reconfigured');
        return busy;
      },
      emit: (event) => this.#events.emit(event),
      report: (list) => this.#host.conditions.set('configuration', list),
      log: (message) => logger.info(message),
    });
  }

  /** What a new life would have to begin anew; null: nothing. */
  #busy(): string | null {
    const busy = [...this.#loops].find(([, loop]) => loop.busy !== null);
    return busy === undefined ? this.#host.gate.busy : `${busy[0]}: ${busy[1].busy}`;
  }

  async stop(why: 'signal' | Ending = 'signal'): Promise<void> {
    const lost = why === 'state-lost';
    this.#config.stop();
    // Beside all else: on a machine that goes down either may take seconds, and the goodbye has to be out in time.
    const told = why === 'signal' ? this.#systemd.stopping() : undefined;
    // A preempted machine does not come back by itself, whatever systemd calls it.
    const preempted = this.#host.watch.departure?.kind === 'preemption';
    // Who starts over is told of a shutdown in its next life.
    const down = why === 'signal' ? await machineGoesDown({ clock: this.#context.clock }) : 'no';
    const reason = !preempted && down === 'reboot' ? 'rebooting' : 'stopped';
    const because = lost
      ? ': its state directory was deleted or taken over, it starts over'
      : why === 'reconfigured'
        ? ': its configuration changed, it starts over'
        : preempted
          ? ': the machine is preempted'
          : { no: '', reboot: ': the machine goes down for a reboot', poweroff: ': the machine is switched off' }[down];
    this.#events.emit({
      kind: 'agent.stopped',
      severity: lost ? 'error' : 'info',
      message: `relight-agent stopped${because}`,
      data: { reason: why === 'signal' ? reason : why },
    });
    this.#host.gate.stop();
    this.#engine.stop();
    this.#host.dispose();
    this.#workloads.held.stop();
    for (const loop of this.#loops.values()) loop.stop();
    await this.#reporting?.control.close();
    await this.#reporting?.stopUplink(reason);
    this.#events.incidents.incidents.stop();
    this.#workloads.closeLogs();
    this.#context.ownLog.close();
    this.#events.outbox.close();
    await told;
  }

  #words(): string {
    const { state } = this.#engine;
    const gate = this.#host.gate.status();
    const { refused } = this.#config.status();
    return serviceStatus({ engine: { state }, gate, refused, workloads: this.#workloads.statuses() });
  }

  #tellSystemd(): void {
    if (this.#isReady) this.#systemd.status(this.#words());
  }

  #keepOwnLog(): void {
    const { clock, ownLog, spec, stateDir } = this.#context;
    if (spec.collector === null) ownLog.discard();
    else ownLog.open({ directory: join(stateDir, 'logs', 'agent'), shipper: this.#workloads.shipper, clock });
  }

  async #sampled(metrics: HostMetrics): Promise<void> {
    // First: where there is no directory any more, nothing else can be expected to work.
    this.#checkStateDirectory();
    this.#events.incidents.measured(metrics);
    this.#reporting?.measure();
    await this.#workloads.measure();
  }

  /** Nothing that is only looked at is worth ending for. Said once while it is the same. */
  #couldNotMeasure(error: string): void {
    if (error !== this.#unmeasured) this.#context.logger.error({ error }, 'the host or the agent itself could not be measured in full');
    this.#unmeasured = error;
  }

  /**
   * Deleted under a running agent. Going on as before would be worse than a kill -9: nobody could ask it anything, and a second
   * agent could be started on the same containers. Starting over makes the directory anew and adopts everything by its labels.
   */
  #checkStateDirectory(): void {
    if (!this.#lock.held()) this.#end('state-lost');
  }
}
