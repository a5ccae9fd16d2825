/**
 * The sockets on which the agent answers people of its host: one in the state directory for the agent's own user, and where the
 * configuration names a group (`control.group`) a second one for that, outside of the state directory, which nobody else may enter.
 */
import type { Clock, Timer } from '@relight/shared/clock';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ControlSpec } from '../config/spec.ts';
import { forGroup } from './for-group.ts';
import { type ControlHandlers, ControlServer } from './server.ts';
import { controlSocketPath, groupSocketPath, runtimeDir } from './socket-path.ts';

export interface ControlSocketsOptions {
  readonly stateDir: string;
  readonly group: ControlSpec['group'];
  readonly clock: Clock;
  /** The id of a group, asked for again where it was not known when the configuration was read; null: not known yet. Never fails. */
  readonly groupId: (name: string) => Promise<number | null>;
  /** @param by who asks, for reasons: `by hand on the host` */
  readonly handlers: (by: string) => ControlHandlers;
  /** A socket could not be opened for the group, or a connection not accepted. The agent goes on. */
  readonly onError: (message: string) => void;
  /** What was said by onError of the group is over. */
  readonly onMended: (message: string) => void;
  /** Default: /run/relight. */
  readonly runDir?: string;
}

/** Between two questions for a group: a directory service that is away is back within minutes, or after hours. */
const askAgainMs = 60_000;

export class ControlSockets {
  readonly #options: ControlSocketsOptions;
  readonly #own: ControlServer;
  readonly #groupPath: string;
  #group: ControlServer | null = null;
  #asking: Timer | null = null;
  #closed = false;

  constructor(options: ControlSocketsOptions) {
    const { stateDir, handlers, runDir = runtimeDir } = options;
    this.#options = options;
    this.#own = new ControlServer({ path: controlSocketPath(stateDir), handlers: handlers('by hand on the host'), onError: this.#refused });
    this.#groupPath = groupSocketPath(stateDir, runDir);
  }

  /** Resolves when they accept. Fails where the state directory takes no socket; without the group's own the agent goes on, and says so. */
  async listen(): Promise<void> {
    const { group, onError } = this.#options;
    await this.#own.listen();
    if (group === null) return this.#forgetEarlier();
    if (group.id !== null) return void (await this.#open(group.name, group.id));
    onError(`the group ${group.name} cannot reach the agent: this host does not know it now; it is looked for again every minute`);
    this.#askLater(group.name);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#asking?.cancel();
    await this.#own.close();
    await this.#group?.close();
  }

  readonly #refused = (error: Error): void => this.#options.onError(`the control socket could not take a connection: ${error.message}`);

  /** Of an agent that was killed, when the configuration still named a group. */
  #forgetEarlier(): void {
    try {
      rmSync(this.#groupPath, { force: true });
    } catch {
      // Nobody listens on it.
    }
  }

  #askLater(name: string): void {
    this.#asking = this.#options.clock.after(askAgainMs, () => void this.#askAgain(name));
  }

  async #askAgain(name: string): Promise<void> {
    const id = await this.#options.groupId(name);
    if (this.#closed) return;
    if (id === null) return this.#askLater(name);
    if (await this.#open(name, id)) this.#options.onMended(`the group ${name} is known now, and can reach the agent`);
  }

  async #open(name: string, id: number): Promise<boolean> {
    const { handlers, onError } = this.#options;
    const by = `by hand on the host, by a member of the group ${name}`;
    const server = new ControlServer({ path: this.#groupPath, groupId: id, handlers: forGroup(handlers(by)), onError: this.#refused });
    this.#group = server;
    try {
      prepare(dirname(this.#groupPath));
      await server.listen();
    } catch (error) {
      onError(`the group ${name} cannot reach the agent: ${errorMessage(error)}`);
      return false;
    }
    // Closed while it was being opened.
    if (this.#closed) await server.close();
    return !this.#closed;
  }
}

/** What anybody else could rename is no place to expect the agent at. Fails with errno errors. */
function prepare(directory: string): void {
  if (mkdirSync(directory, { recursive: true }) !== undefined) chmodSync(directory, 0o755);
  const stat = lstatSync(directory);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) {
    throw new RelightError('config-invalid', `${directory} is not a directory that only the agent's user may write to; remove it`);
  }
}
