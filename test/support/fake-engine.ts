/**
 * An engine in memory that does what the test says. It keeps containers, names, ports, images and events as the contract
 * of the port demands (test/integration/engine-contract.ts runs against it too), and throws a plain Error for every command
 * that no test has described: an unplanned exec must not look like an answer.
 */
import type { Clock } from '@relight/shared/clock';
import { RelightError, type ErrorCode } from '@relight/shared/errors';
import { AsyncQueue } from './async-queue.ts';
import type { CreateOptions } from '../../packages/agent/src/engine/create-options.ts';
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
} from '../../packages/agent/src/engine/engine.ts';
import { FakeFaults, fakeCallTimeoutMs, unreachable } from './fake-faults.ts';
import { FakeContainer, type ContainerScript, type ExecScript } from './fake-container.ts';

export interface FakeEngineOptions {
  readonly clock: Clock;
  /** Local images. */
  readonly images?: readonly string[];
  /** How the first process of a container behaves; default: it runs until it is stopped. */
  readonly container?: (body: CreateOptions, name: string) => ContainerScript;
  /** How a command behaves; undefined: the test did not expect it. */
  readonly exec?: (exec: ExecOptions, container: FakeContainer) => ExecScript | undefined;
  /** What a registry has; a code is how a pull of it fails. Anything else is image-not-found. */
  readonly registry?: Readonly<Record<string, 'ok' | ErrorCode>>;
}

export class FakeEngine implements Engine {
  readonly clock: Clock;
  readonly images: Set<string>;
  readonly containers = new Map<string, FakeContainer>();
  /** Every call in order, with its first argument: `start 3f2a…`, `exec 3f2a… sh -c …`. */
  readonly calls: string[] = [];
  readonly #faults: FakeFaults;
  readonly #options: FakeEngineOptions;
  readonly #subscribers = new Set<AsyncQueue<EngineEvent>>();
  #created = 0;
  #pids = 1_000;

  constructor(options: FakeEngineOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.#faults = new FakeFaults(options.clock);
    this.images = new Set(options.images ?? ['fake:latest']);
  }

  /** Every call fails with engine-unreachable, event streams break. Containers die unless `liveRestore`. */
  goDown(options: { readonly liveRestore?: boolean } = {}): void {
    this.#faults.state = 'down';
    for (const queue of this.#subscribers) queue.fail(unreachable());
    this.#subscribers.clear();
    if (options.liveRestore !== true) for (const container of this.containers.values()) container.exit(137);
  }

  goUp(): void {
    this.#faults.goUp();
  }

  /** The next `times` calls of this kind fail (default: one; Infinity: until `heal`). */
  fail(call: keyof Engine, error: ErrorCode | RelightError, times = 1): void {
    this.#faults.set(call, typeof error === 'string' ? new RelightError(error, `scripted ${error}`) : error, times);
  }

  heal(call: keyof Engine): void {
    this.#faults.clear(call);
  }

  /** Calls wait for their deadline, or for `thaw`. */
  freeze(): void {
    this.#faults.state = 'frozen';
  }

  thaw(): void {
    this.#faults.goUp();
  }

  /** The first process ends by itself now. */
  exit(idOrName: string, exitCode: number, options: { readonly oomKilled?: boolean } = {}): void {
    this.#find(idOrName)?.exit(exitCode, options.oomKilled);
  }

  ping(options?: CallOptions): Promise<void> {
    return this.#answer('ping', '', options, () => undefined);
  }

  info(options?: CallOptions): Promise<EngineInfo> {
    return this.#answer('info', '', options, () => ({
      id: 'FAKE',
      version: '28.0.0-fake',
      apiVersion: '1.47',
      liveRestore: false,
      runtimes: ['runc'],
      cgroupVersion: '2',
      rootDirectory: '/var/lib/docker',
    }));
  }

  list(
    filter: { readonly labels?: Readonly<Record<string, string>>; readonly name?: string },
    options?: CallOptions,
  ): Promise<readonly string[]> {
    return this.#answer('list', filter.name ?? JSON.stringify(filter.labels ?? {}), options, () =>
      [...this.containers.values()]
        .filter(({ name }) => filter.name === undefined || name === filter.name)
        .filter(({ body }) => Object.entries(filter.labels ?? {}).every(([key, value]) => body.Labels[key] === value))
        .map(({ id }) => id),
    );
  }

  inspect(idOrName: string, options?: CallOptions): Promise<ContainerFacts | null> {
    return this.#answer('inspect', idOrName, options, () => this.#find(idOrName)?.facts() ?? null);
  }

  inspectRaw(idOrName: string, options?: CallOptions): Promise<Record<string, unknown> | null> {
    return this.#answer('inspectRaw', idOrName, options, () => {
      const container = this.#find(idOrName);
      return container === undefined ? null : { Id: container.id, Name: `/${container.name}`, Config: container.body };
    });
  }

  hasImage(image: string, options?: CallOptions): Promise<boolean> {
    return this.#answer('hasImage', image, options, () => this.images.has(image));
  }

  pull(image: string, progress: (line: string) => void, options?: CallOptions): Promise<void> {
    return this.#answer('pull', image, options, () => {
      const outcome = this.#options.registry?.[image] ?? 'image-not-found';
      if (outcome !== 'ok') throw new RelightError(outcome, `pull of ${image}: ${outcome}`);
      progress(`Pulling ${image}`);
      this.images.add(image);
      this.#emit('image', 'pull', image, { name: image });
    });
  }

  create(name: string, body: CreateOptions, options?: CallOptions): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
    return this.#answer('create', name, options, () => {
      this.#mustBeFree(name);
      if (!this.images.has(body.Image)) throw new RelightError('image-not-found', `No such image: ${body.Image}`);
      this.#created += 1;
      const id = this.#created.toString(16).padStart(64, 'f');
      const script = this.#options.container?.(body, name) ?? {};
      const emit = (action: string, attributes: Record<string, string>): void => this.#emitFor(container, action, attributes);
      const container: FakeContainer = new FakeContainer({ id, name, body, script, clock: this.clock, emit });
      this.containers.set(id, container);
      emit('create', {});
      return { id, warnings: [] };
    });
  }

  start(id: string, options?: CallOptions): Promise<void> {
    return this.#answer('start', id, options, () => {
      const container = this.#get(id);
      if (container.isRunning) return;
      const taken = [...this.containers.values()].find(
        (other) => other.isRunning && other.hostPorts.some((port) => container.hostPorts.includes(port)),
      );
      if (taken !== undefined) throw new RelightError('port-taken', 'port is already allocated');
      container.start((this.#pids += 1));
    });
  }

  stop(id: string, graceMs: number, options?: CallOptions): Promise<void> {
    return this.#answer('stop', id, options, async () => this.#find(id)?.stop(graceMs));
  }

  kill(id: string, signal: string, options?: CallOptions): Promise<void> {
    return this.#answer('kill', id, options, () => this.#find(id)?.signal(signal));
  }

  rename(id: string, name: string, options?: CallOptions): Promise<void> {
    return this.#answer('rename', id, options, () => {
      const container = this.#get(id);
      this.#mustBeFree(name);
      container.name = name;
      this.#emitFor(container, 'rename', {});
    });
  }

  remove(id: string, options?: CallOptions): Promise<void> {
    return this.#answer('remove', id, options, () => {
      const container = this.#find(id);
      if (container === undefined) return;
      container.exit(137);
      this.containers.delete(container.id);
      this.#emitFor(container, 'destroy', {});
    });
  }

  execDetached(id: string, exec: ExecOptions, options?: CallOptions): Promise<DetachedExec> {
    return this.#answer('execDetached', `${id} ${exec.argv.join(' ')}`, options, () => {
      const script = this.#script(id, exec);
      const execId = `exec-${(this.#pids += 1)}`;
      return { execId, pid: this.#get(id).runExec(execId, this.#pids, script) ? this.#pids : 0 };
    });
  }

  exec(id: string, exec: ExecOptions, options: CallOptions = {}): Promise<ExecResult> {
    return this.#answer('exec', `${id} ${exec.argv.join(' ')}`, options, async () => {
      const script = this.#script(id, exec);
      const { timeoutMs = fakeCallTimeoutMs } = options;
      const { durationMs = 0 } = script;
      const container = this.#get(id);
      this.#pids += 1;
      const died = await container.attachedExec(this.#pids, Math.min(durationMs, timeoutMs), options.signal);
      if (died) return { exitCode: 137, stdout: '', stderr: '' };
      if (durationMs > timeoutMs) throw new RelightError('stage-timeout', `${exec.argv.join(' ')} did not end within ${timeoutMs} ms`);
      return { exitCode: script.exitCode ?? 0, stdout: script.stdout ?? '', stderr: script.stderr ?? '' };
    });
  }

  async *events(signal: AbortSignal, onOpen: () => void): AsyncGenerator<EngineEvent> {
    const queue = new AsyncQueue<EngineEvent>();
    try {
      await this.#answer('events', '', { signal }, () => this.#subscribers.add(queue));
      onOpen();
      yield* queue.read(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#subscribers.delete(queue);
    }
  }

  stats(id: string, options?: CallOptions): Promise<ContainerStats | null> {
    return this.#answer('stats', id, options, () => {
      const container = this.#find(id);
      return container?.isRunning === true ? { ...container.stats, pids: container.stats.pids + container.execs.size } : null;
    });
  }

  async #answer<T>(call: keyof Engine, subject: string, options: CallOptions = {}, work: () => T | Promise<T>): Promise<T> {
    this.calls.push(`${call} ${subject}`.trim());
    await this.#faults.pass(call, options);
    return work();
  }

  #find(idOrName: string): FakeContainer | undefined {
    return this.containers.get(idOrName) ?? [...this.containers.values()].find(({ name }) => name === idOrName);
  }

  #get(id: string): FakeContainer {
    const container = this.#find(id);
    if (container === undefined) throw new RelightError('container-removed', `No such container: ${id}`);
    return container;
  }

  #mustBeFree(name: string): void {
    const holder = [...this.containers.values()].find((container) => container.name === name);
    if (holder === undefined) return;
    throw new RelightError('name-conflict', `The container name "/${name}" is already in use`, { data: { holderId: holder.id } });
  }

  #script(id: string, exec: ExecOptions): ExecScript {
    const container = this.#get(id);
    if (!container.isRunning) throw new RelightError('container-exited', `Container ${id} is not running`);
    const script = this.#options.exec?.(exec, container);
    if (script === undefined) throw new Error(`FakeEngine: no script for the command ${JSON.stringify(exec.argv)}`);
    if (script.error !== undefined) throw new RelightError(script.error, `scripted ${script.error}: ${exec.argv.join(' ')}`);
    return script;
  }

  #emitFor(container: FakeContainer, action: string, attributes: Readonly<Record<string, string>>): void {
    this.#emit('container', action, container.id, {
      ...container.body.Labels,
      name: container.name,
      image: container.body.Image,
      ...attributes,
    });
  }

  #emit(type: EngineEvent['type'], action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    for (const queue of this.#subscribers) queue.push({ type, action, id, attributes, at: this.clock.now() });
  }
}
