/** Pulling an image: progress and failure both come in the body of a 200. */
import type { CallOptions } from './engine.ts';
import type { DockerClient } from './docker-client.ts';
import { pullFailure } from './errors.ts';
import { registryLogin, type RegistryLogin } from './registry-auth.ts';
import { jsonLines } from './json-lines.ts';
import type { Clock } from '@relight/shared/clock';
import { RelightError } from '@relight/shared/errors';

/** A registry that sends nothing for so long will not send anything. */
const stallMs = 5 * 60_000;
/** A layer of many gigabytes says nothing new for its whole length: so often its line is said again, for whoever takes silence for a stall. */
const aliveMs = 10_000;

/** `progress` gets what is new, and while anything comes at least a line every ten seconds. `timeoutMs` bounds the whole pull; without it only a stall of five minutes ends it. The host's own login is used. */
export async function pullImage(
  client: DockerClient,
  image: string,
  progress: (line: string) => void,
  options: CallOptions,
): Promise<void> {
  const controller = new AbortController();
  const fail = (message: string): void => controller.abort(new RelightError('image-pull-failed', message));
  const follow = (): void => controller.abort(options.signal?.reason);
  if (options.signal?.aborted === true) follow();
  options.signal?.addEventListener('abort', follow, { once: true });
  const { timeoutMs } = options;
  const deadline =
    timeoutMs === undefined ? undefined : client.clock.after(timeoutMs, () => fail(`${image} was not pulled within ${timeoutMs} ms`));
  const arm = () =>
    client.clock.after(stallMs, () => fail(`nothing came from the registry for ${stallMs / 60_000} minutes while pulling ${image}`));
  let stall = arm();
  let login: RegistryLogin | null = null;
  try {
    // The engine sends nothing before the registry does, so only this tells an engine that hangs from a slow registry.
    await client.call('other', { signal: controller.signal }, (connection) => connection.send({ method: 'GET', path: '/_ping' }));
    const query = pullQuery(image);
    login = await registryLogin(image);
    const registry = login.kind === 'known' ? { registry: login.credentials } : {};
    const body = await client.open('pull', controller.signal, { method: 'POST', path: '/images/create', query, ...registry }, 2 * stallMs);
    const report = reporter(client.clock, progress);
    for await (const message of jsonLines(body)) {
      stall.cancel();
      stall = arm();
      report(message);
    }
  } catch (error) {
    throw withLogin(client.streamFailure('pull', controller.signal, error), login);
  } finally {
    stall.cancel();
    deadline?.cancel();
    options.signal?.removeEventListener('abort', follow);
  }
}

/** Refused as nobody, because the login that there is does not work: that is the cause. */
function withLogin(error: RelightError, login: RegistryLogin | null): RelightError {
  if (error.code !== 'image-unauthorized' || login?.kind !== 'broken') return error;
  return new RelightError('image-unauthorized', `${error.message}; ${login.why}`, { cause: error, data: error.data });
}

/** One line per layer and status, not one per megabyte. */
function reporter(clock: Clock, progress: (line: string) => void): (message: Readonly<Record<string, unknown>>) => void {
  const seen = new Map<string, string>();
  let saidAt = clock.monotonic();
  return ({ error, status, id }) => {
    if (typeof error === 'string') throw pullFailure(error);
    if (typeof status !== 'string') return;
    const layer = typeof id === 'string' ? id : '';
    const now = clock.monotonic();
    if (seen.get(layer) === status && now - saidAt < aliveMs) return;
    seen.set(layer, status);
    saidAt = now;
    progress(layer === '' ? status : `${layer}: ${status}`);
  };
}

/** A name without tag means `latest`; without a tag in the query the engine would pull all of them. A digest wins over a tag. */
export function pullQuery(image: string): { readonly fromImage: string; readonly tag: string } {
  const [name = '', digest] = image.split('@');
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  const fromImage = colon === -1 ? name : name.slice(0, colon);
  return { fromImage, tag: digest ?? (colon === -1 ? 'latest' : name.slice(colon + 1)) };
}
