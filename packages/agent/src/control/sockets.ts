/**
 * The sockets on which the agent answers people of its host: one in the state directory for the agent's own user, and where the
 * configuration names a group (`control.group`) a second one for that, outside of the state directory, which nobody else may enter.
 */
import { errorMessage, RelightError } from '@relight/shared/errors';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ControlSpec } from '../config/spec.ts';
import { type ControlHandlers, ControlServer } from './server.ts';
import { controlSocketPath, groupSocketPath, runtimeDir } from './socket-path.ts';

export interface ControlSocketsOptions {
  readonly stateDir: string;
  readonly group: ControlSpec['group'];
  /** @param by who asks, for reasons: `by hand on the host` */
  readonly handlers: (by: string) => ControlHandlers;
  /** A socket could not be opened for the group, or a connection not accepted. The agent goes on. */
  readonly onError: (message: string) => void;
  /** Default: /run/relight. */
  readonly runDir?: string;
}

export class ControlSockets {
  readonly #options: ControlSocketsOptions;
  readonly #own: ControlServer;
  readonly #groupPath: string;
  readonly #group: ControlServer | null;

  constructor(options: ControlSocketsOptions) {
    const { stateDir, group, handlers, onError, runDir = runtimeDir } = options;
    const refused = (error: Error): void => onError(`the control socket could not take a connection: ${error.message}`);
    this.#options = options;
    this.#own = new ControlServer({ path: controlSocketPath(stateDir), handlers: handlers('by hand on the host'), onError: refused });
    this.#groupPath = groupSocketPath(stateDir, runDir);
    this.#group =
      group === null
        ? null
        : new ControlServer({
            path: this.#groupPath,
            groupId: group.id,
            handlers: forGroup(handlers(`by hand on the host, by a member of the group ${group.name}`)),
            onError: refused,
          });
  }

  /** Resolves when they accept. Fails where the state directory takes no socket; without the group's own the agent goes on, and says so. */
  async listen(): Promise<void> {
    await this.#own.listen();
    try {
      if (this.#group === null) {
        // Of an agent that was killed, when the configuration still named a group.
        rmSync(this.#groupPath, { force: true });
        return;
      }
      prepare(dirname(this.#groupPath));
      await this.#group.listen();
    } catch (error) {
      if (this.#options.group === null) return;
      this.#options.onError(`the group ${this.#options.group.name} cannot reach the agent: ${errorMessage(error)}`);
    }
  }

  async close(): Promise<void> {
    await this.#own.close();
    await this.#group?.close();
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

/** To look at what runs, and the three actions. What the configuration says is not theirs to have taken up, nor the agent's log to read. */
const forGroup = (handlers: ControlHandlers): ControlHandlers => ({
  ...handlers,
  reload: (request) =>
    request.dryRun
      ? handlers.reload(request)
      : Promise.reject(new RelightError('forbidden', 'only root may have the configuration read again')),
  recent() {
    throw new RelightError('forbidden', "only root may read the agent's events and log");
  },
});
