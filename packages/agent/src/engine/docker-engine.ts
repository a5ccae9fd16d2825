/** The engine port on a Docker Engine's unix socket. Paths below are those of the Engine API. */
import { type Clock, delay, systemClock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';
import { takesSeveralNetworks } from './api-version.ts';
import type { CreateOptions } from './create-options.ts';
import { type Connection, DockerClient, type EngineRequest } from './docker-client.ts';
import type {
  CallOptions,
  ContainerFacts,
  ContainerStats,
  DetachedExec,
  Engine,
  EngineEvent,
  EngineInfo,
  ExecOptions,
  ExecResult,
} from './engine.ts';
import { type CallKind, callFailure } from './errors.ts';
import { engineEvent, eventFilters, sinceNow } from './event-stream.ts';
import { runToEnd, startDetached } from './exec.ts';
import { containerFacts, containerStats, engineInfo, type InfoDocument, type InspectDocument, type StatsDocument } from './facts.ts';
import { jsonLines } from './json-lines.ts';
import { LateExecs } from './late-execs.ts';
import { pullImage } from './pull.ts';

export interface DockerEngineOptions {
  readonly socketPath: string;
  /** Deadline of a call without one of its own, milliseconds; default 10,000. */
  readonly callTimeoutMs?: number;
  readonly clock?: Clock;
}

/** A busy disk makes the engine slow at these: creating, starting and removing have a deadline of their own. */
const slowCallMs = 60_000;

export class DockerEngine implements Engine {
  readonly #client: DockerClient;
  readonly #lateExecs: LateExecs;

  constructor({ socketPath, callTimeoutMs = 10_000, clock = systemClock }: DockerEngineOptions) {
    this.#client = new DockerClient({ socketPath, callTimeoutMs, clock });
    this.#lateExecs = new LateExecs(this.#client);
  }

  get calls(): DockerClient['calls'] {
    return this.#client.calls;
  }

  ping(options: CallOptions = {}): Promise<void> {
    return this.#client.call('other', options, async (connection) => {
      await get(connection, '/_ping');
    });
  }

  info(options: CallOptions = {}): Promise<EngineInfo> {
    return this.#client.call('other', options, async (connection) =>
      engineInfo((await get(connection, '/info')) as InfoDocument, connection.apiVersion),
    );
  }

  async list(
    filter: { readonly labels?: Readonly<Record<string, string>>; readonly name?: string },
    options: CallOptions = {},
  ): Promise<readonly string[]> {
    const label = Object.entries(filter.labels ?? {}).map(([name, value]) => `${name}=${value}`);
    const filters = { ...(label.length > 0 ? { label } : {}), ...(filter.name === undefined ? {} : { name: [exactName(filter.name)] }) };
    const found = await this.#client.call('other', options, (connection) => get(connection, '/containers/json', { all: true, filters }));
    return (found as readonly { Id: string }[]).map(({ Id }) => Id);
  }

  async inspect(idOrName: string, options: CallOptions = {}): Promise<ContainerFacts | null> {
    const document = await this.inspectRaw(idOrName, options);
    return document === null ? null : containerFacts(document as unknown as InspectDocument);
  }

  async inspectRaw(idOrName: string, options: CallOptions = {}): Promise<Record<string, unknown> | null> {
    const document = (await this.#unless(404, null, 'other', options, (connection) =>
      get(connection, `/containers/${encodeURIComponent(idOrName)}/json`),
    )) as Record<string, unknown> | null;
    // The engine also takes the beginning of an id, which may be somebody's name.
    const isMeant = document?.['Id'] === idOrName || document?.['Name'] === `/${idOrName}`;
    return isMeant ? document : null;
  }

  async hasImage(image: string, options: CallOptions = {}): Promise<boolean> {
    return (await this.inspectImage(image, options)) !== null;
  }

  async inspectImage(image: string, options: CallOptions = {}): Promise<Record<string, unknown> | null> {
    const found = await this.#unless(404, null, 'other', options, (connection) => get(connection, `/images/${image}/json`));
    return found as Record<string, unknown> | null;
  }

  pull(image: string, progress: (line: string) => void, options: CallOptions = {}): Promise<void> {
    return pullImage(this.#client, image, progress, options);
  }

  create(
    name: string,
    body: CreateOptions,
    options: CallOptions = {},
  ): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
    return this.#client.call('create', slow(options), async (connection) => {
      const { first, further } = splitNetworks(body, takesSeveralNetworks(connection.apiVersion));
      const answer = await post(connection, '/containers/create', { name }, first);
      const { Id: id, Warnings: warnings } = answer as { Id: string; Warnings: readonly string[] | null };
      for (const [network, endpoint] of further) {
        const connect = { Container: id, EndpointConfig: endpoint };
        await post(connection, `/networks/${encodeURIComponent(network)}/connect`, {}, connect).catch(async (error: unknown) => {
          // Half connected is worse than absent: whoever finds it by its labels would take it for complete.
          await connection.send(removal(id));
          throw error;
        });
      }
      return { id, warnings: warnings ?? [] };
    });
  }

  async start(id: string, options: CallOptions = {}): Promise<void> {
    await this.#unless(304, undefined, 'start', slow(options), (connection) => post(connection, `/containers/${id}/start`));
  }

  async stop(id: string, graceMs: number, options: CallOptions = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? graceMs + slowCallMs;
    const query = { t: Math.ceil(graceMs / 1_000) };
    await this.#unless([304, 404], undefined, 'other', { ...options, timeoutMs }, (connection) =>
      post(connection, `/containers/${id}/stop`, query),
    );
  }

  async kill(id: string, signal: string, options: CallOptions = {}): Promise<void> {
    await this.#unless([404, 409], undefined, 'other', options, (connection) => post(connection, `/containers/${id}/kill`, { signal }));
  }

  async stopRestarting(id: string, options: CallOptions = {}): Promise<void> {
    await this.#client.call('other', options, (connection) =>
      post(connection, `/containers/${id}/update`, {}, { RestartPolicy: { Name: 'no' } }),
    );
  }

  async rename(id: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#client.call('other', options, (connection) => post(connection, `/containers/${id}/rename`, { name }));
  }

  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#client.call('other', slow(options), async (connection) => {
      for (let pauseMs = 5; ; pauseMs = Math.min(500, pauseMs * 2)) {
        try {
          await connection.send(removal(id));
          return;
        } catch (error) {
          if (statusOf(error) === 404) return;
          // Somebody else removes it at this moment: it counts when it is gone.
          if (statusOf(error) !== 409 || !/already in progress/.test(String(error))) throw error;
        }
        await delay(this.#client.clock, pauseMs, connection.signal);
      }
    });
  }

  execDetached(id: string, exec: ExecOptions, options: CallOptions = {}): Promise<DetachedExec> {
    return startDetached(this.#client, id, exec, options);
  }

  exec(id: string, exec: ExecOptions, options: CallOptions = {}): Promise<ExecResult> {
    return runToEnd(this.#client, id, exec, options, this.#lateExecs);
  }

  async *events(signal: AbortSignal, onOpen: () => void): AsyncGenerator<EngineEvent> {
    // The engine sends the headers before it subscribes: `since` closes the gap between the two.
    const query = { since: sinceNow(this.#client.clock.now()), filters: eventFilters };
    try {
      const body = await this.#client.open('other', signal, { method: 'GET', path: '/events', query });
      onOpen();
      for await (const message of jsonLines(body)) {
        const event = engineEvent(message);
        if (event !== null) yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      throw this.#client.streamFailure('other', undefined, error);
    }
    if (!signal.aborted) throw new RelightError('engine-unreachable', 'the engine closed the event stream');
  }

  async *logs(id: string, since: string | null, signal: AbortSignal): AsyncGenerator<Buffer> {
    const query = { follow: true, stdout: true, stderr: true, timestamps: true, ...(since === null ? {} : { since }) };
    try {
      const body = await this.#client.open('other', signal, { method: 'GET', path: `/containers/${id}/logs`, query });
      for await (const chunk of body) yield chunk as Buffer;
    } catch (error) {
      if (!signal.aborted) throw this.#client.streamFailure('other', undefined, error);
    }
  }

  async stats(id: string, options: CallOptions = {}): Promise<ContainerStats | null> {
    const query = { stream: false, 'one-shot': true };
    const document = await this.#unless([404, 409], null, 'other', options, (connection) =>
      get(connection, `/containers/${id}/stats`, query),
    );
    return document === null ? null : containerStats(document as StatsDocument);
  }

  /** A call for which some statuses are no failure: they give `instead`. */
  #unless(
    statuses: number | readonly number[],
    instead: unknown,
    kind: CallKind,
    options: CallOptions,
    work: (connection: Connection) => Promise<unknown>,
  ): Promise<unknown> {
    return this.#client.call(kind, options, (connection) =>
      work(connection).catch((error: unknown) => {
        if ([statuses].flat().includes(statusOf(error) ?? 0)) return instead;
        throw callFailure(kind, error);
      }),
    );
  }
}

const get = (connection: Connection, path: string, query: Readonly<Record<string, unknown>> = {}): Promise<unknown> =>
  connection.send({ method: 'GET', path, query });

const post = (connection: Connection, path: string, query: Readonly<Record<string, unknown>> = {}, body: object = {}): Promise<unknown> =>
  connection.send({ method: 'POST', path, query, body });

/** With its anonymous volumes. */
const removal = (id: string): EngineRequest => ({ method: 'DELETE', path: `/containers/${id}`, query: { force: true, v: true } });

const slow = (options: CallOptions): CallOptions => ({ timeoutMs: slowCallMs, ...options });

const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number }).statusCode;

/** The engine matches names as a regular expression, with the leading slash. */
const exactName = (name: string): string => `^/${name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)}$`;

type Endpoint = NonNullable<CreateOptions['NetworkingConfig']>['EndpointsConfig'][string];

function splitNetworks(
  body: CreateOptions,
  severalAtOnce: boolean,
): { first: CreateOptions; further: readonly (readonly [string, Endpoint])[] } {
  const endpoints = Object.entries(body.NetworkingConfig?.EndpointsConfig ?? {});
  if (severalAtOnce || endpoints.length <= 1) return { first: body, further: [] };
  const [one, ...further] = endpoints;
  return { first: { ...body, NetworkingConfig: { EndpointsConfig: Object.fromEntries(one === undefined ? [] : [one]) } }, further };
}
