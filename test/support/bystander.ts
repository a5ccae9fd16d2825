/**
 * One workload of one agent in a lab, and somebody who breaks things beside Relight: waits for what Relight says and does,
 * behind a mark set before the fault.
 */
import { ControlClient } from '@relight/agent/control/client';
import type { ContainerFacts } from '@relight/agent/engine/engine';
import type { ApiEvent, ApiWorkload } from '@relight/shared/api';
import type { EventKind } from '@relight/shared/event';
import type { Phase } from '@relight/shared/phase';
import { caughtUp } from './caught-up.ts';
import type { AgentOptions, Lab, LabAgent } from './lab.ts';
import { waitFor } from './wait.ts';

/** In the form of the agent's YAML. Restarts at once, and after that soon: what is tested here is not the waiting. */
const soon = { initial: '200ms', max: '2s', reset_after: '10m', budget: '20 per 10m' };

type Fields = Readonly<Record<string, unknown>>;

export interface WorkloadDocument extends Fields {
  readonly container?: Fields;
}

export class Bystander {
  readonly lab: Lab;
  readonly agent: LabAgent;
  readonly workload: string;
  readonly containerName: string;
  /** The agent's local socket. */
  readonly control: ControlClient;

  private constructor(lab: Lab, agent: LabAgent, workload: string, containerName: string) {
    this.lab = lab;
    this.agent = agent;
    this.workload = workload;
    this.containerName = containerName;
    this.control = new ControlClient(agent.stateDir);
  }

  /** An agent of its own on a host named like the workload. Returns at once: the workload may never become ready. */
  static async start(
    lab: Lab,
    name: string,
    image: string,
    { container, ...rest }: WorkloadDocument = {},
    service: AgentOptions['service'] = {},
    hostFields: Fields = {},
    config: Fields = {},
  ): Promise<Bystander> {
    const containerName = `e2e-${name}-${process.pid}`;
    const workload = {
      name,
      container: { name: containerName, image, pull_policy: 'never', init: true, command: ['sleep', 'infinity'], ...container },
      restart: { process: soon, container: soon },
      ...rest,
    };
    const agent = await lab.addAgent({ host: name, workloads: [workload], service, hostFields, config });
    return new Bystander(lab, agent, name, containerName);
  }

  /** The workload adopts the container of this name, whether it is there already or not. */
  static async adopting(lab: Lab, name: string, document: WorkloadDocument = {}): Promise<Bystander> {
    const containerName = `e2e-${name}-${process.pid}`;
    const workload = { name, container: { adopt: containerName }, restart: { process: soon, container: soon }, ...document };
    const agent = await lab.addAgent({ host: name, workloads: [workload] });
    return new Bystander(lab, agent, name, containerName);
  }

  static async ready(lab: Lab, name: string, image: string, document: WorkloadDocument = {}, hostFields: Fields = {}): Promise<Bystander> {
    const bystander = await Bystander.start(lab, name, image, document, {}, hostFields);
    await bystander.phase('ready');
    // The phase may arrive before the events that led to it: a mark comes behind them.
    await bystander.next(0, 'workload.ready');
    return bystander;
  }

  phase(phase: Phase, timeoutMs?: number): Promise<ApiWorkload> {
    return this.lab.fleet.waitForPhase(this.agent.host, this.workload, phase, timeoutMs);
  }

  async status(): Promise<ApiWorkload> {
    const workload = await this.lab.fleet.workload(this.agent.host, this.workload);
    if (workload === undefined) throw new Error(`the collector does not know ${this.workload}`);
    return workload;
  }

  /** Of the workload and its agent, in order. */
  events(): Promise<readonly ApiEvent[]> {
    return this.lab.fleet.events({ host: this.agent.host, limit: 1_000 });
  }

  /** A place in the events: what `since` and `next` are asked about lies behind it. */
  async mark(): Promise<number> {
    return Number((await this.events()).at(-1)?.id ?? 0);
  }

  async since(mark: number): Promise<readonly ApiEvent[]> {
    return (await this.events()).filter((event) => Number(event.id) > mark);
  }

  /** The first event of this kind behind the mark; waits for it. */
  async next(mark: number, kind: EventKind, matches: (event: ApiEvent) => boolean = () => true, timeoutMs = 60_000): Promise<ApiEvent> {
    let seen: readonly ApiEvent[] = [];
    try {
      return await waitFor(
        async () => {
          seen = await this.since(mark);
          return seen.find((event) => event.kind === kind && matches(event));
        },
        { timeoutMs, everyMs: 50, what: kind },
      );
    } catch (error) {
      const lines = seen.map((event) => `  ${event.at} ${event.kind}: ${event.message}`);
      const phase = await this.status().then((status) => status.phase, String);
      throw new Error(`no ${kind} (phase ${phase}); events:\n${lines.join('\n')}`, { cause: error });
    }
  }

  /** The collector has every event until now, and the present picture of the workload. */
  async caughtUp(): Promise<void> {
    await caughtUp(this.lab, this.agent);
  }

  async kindsSince(mark: number): Promise<readonly EventKind[]> {
    return (await this.since(mark)).map(({ kind }) => kind);
  }

  /** The container under the workload's name. */
  async container(): Promise<ContainerFacts> {
    const facts = await this.lab.engine.inspect(this.containerName);
    if (facts === null) throw new Error(`there is no container ${this.containerName}`);
    return facts;
  }

  /** All containers of this agent that run. */
  async running(): Promise<readonly ContainerFacts[]> {
    const { agentId } = await this.control.status();
    const ids = await this.lab.engine.list({ labels: { 'relight.agent': agentId } });
    const facts = await Promise.all(ids.map((id) => this.lab.engine.inspect(id)));
    return facts.filter((container) => container !== null).filter(({ pid }) => pid > 0);
  }

  /** Output of a command in the container. */
  async exec(...argv: readonly string[]): Promise<string> {
    const { stdout, stderr, exitCode } = await this.lab.engine.exec((await this.container()).id, { argv });
    if (exitCode !== 0) throw new Error(`${argv.join(' ')}: exit code ${exitCode}: ${stderr}`);
    return stdout;
  }
}

/** Epoch milliseconds by the agent's clock. */
export const at = (event: ApiEvent): number => Date.parse(event.at);
