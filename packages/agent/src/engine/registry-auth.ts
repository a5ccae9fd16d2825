/**
 * Who this host is to a registry: what `docker login` and credential helpers left in Docker's own client configuration. The engine
 * itself knows nobody; whoever asks it to pull has to say so with the call.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { configBytesMax, readBounded } from '@relight/shared/bounded-read';
import { systemClock } from '@relight/shared/clock';
import { runChild } from '@relight/shared/child';

/** Of Docker Hub, in that file. */
const hub = 'https://index.docker.io/v1/';
/** A helper of a cloud asks its metadata server. */
const helperMs = 20_000;

export interface RegistryCredentials {
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
  readonly serveraddress: string;
}

export type RegistryLogin =
  | { readonly kind: 'none'; readonly configFile: string }
  /** `from`: where it was found, for a person. */
  | { readonly kind: 'known'; readonly from: string; readonly credentials: RegistryCredentials }
  /** It is configured, and does not work. */
  | { readonly kind: 'broken'; readonly why: string };

/** `us-docker.pkg.dev` of `us-docker.pkg.dev/team/image:tag`; `docker.io` for names without a registry. */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/');
  return rest.length > 0 && (/[.:]/.test(first) || first === 'localhost') ? first : 'docker.io';
}

interface ClientConfig {
  readonly auths?: Readonly<Record<string, { readonly auth?: string; readonly identitytoken?: string }>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

/** Root's `~/.docker/config.json`, as for `docker pull` in root's shell; DOCKER_CONFIG names another directory. Never fails. */
export async function registryLogin(image: string, env: NodeJS.ProcessEnv = process.env): Promise<RegistryLogin> {
  const configFile = join(env['DOCKER_CONFIG'] ?? join(env['HOME'] ?? homedir(), '.docker'), 'config.json');
  const text = await readBounded(configFile, configBytesMax).then(String, () => null);
  if (text === null) return { kind: 'none', configFile };
  let config: ClientConfig;
  try {
    config = JSON.parse(text) as ClientConfig;
  } catch {
    // Without what the parser says: it quotes the text, which holds passwords.
    return { kind: 'broken', why: `${configFile} is not valid: it is no JSON` };
  }
  const registry = registryOf(image);
  const keys =
    registry === 'docker.io' ? [hub, 'docker.io', 'index.docker.io'] : [registry, `https://${registry}`, `https://${registry}/v2/`];
  const helper = keys.map((key) => config.credHelpers?.[key]).find((name) => name !== undefined) ?? config.credsStore;
  if (helper !== undefined && helper !== '') {
    const asked = await askHelper(helper, keys[0] ?? registry, env);
    // A store that does not know the registry is like no store.
    if (asked !== null) return asked;
  }
  const key = keys.find((candidate) => config.auths?.[candidate] !== undefined);
  const entry = key === undefined ? undefined : config.auths?.[key];
  if (key === undefined || entry === undefined || (entry.auth === undefined && entry.identitytoken === undefined))
    return { kind: 'none', configFile };
  const [username, ...password] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':');
  const credentials =
    entry.identitytoken === undefined ? { username: username ?? '', password: password.join(':') } : { identitytoken: entry.identitytoken };
  return { kind: 'known', from: configFile, credentials: { ...credentials, serveraddress: key } };
}

/** Null: it knows nothing of this registry. */
async function askHelper(helper: string, server: string, env: NodeJS.ProcessEnv): Promise<RegistryLogin | null> {
  const program = `docker-credential-${helper}`;
  const { exitCode, stdout, stderr, spawnError, timedOut } = await runChild({
    argv: ['sh', '-c', 'printf %s "$1" | "$2" get', 'relight-credentials', server, program],
    clock: systemClock,
    timeoutMs: helperMs,
    env,
  });
  if (exitCode === 0) {
    try {
      const { Username = '', Secret = '' } = JSON.parse(stdout) as { Username?: string; Secret?: string };
      // By convention a token takes the place of a user.
      const credentials = Username === '<token>' ? { identitytoken: Secret } : { username: Username, password: Secret };
      return { kind: 'known', from: program, credentials: { ...credentials, serveraddress: server } };
    } catch {
      return { kind: 'broken', why: `${program} answered with something that is no JSON` };
    }
  }
  if (/credentials not found/i.test(stdout + stderr)) return null;
  const why = timedOut
    ? `no answer within ${helperMs / 1_000} s`
    : (spawnError ?? (exitCode === 127 ? 'it is not installed' : lastLine(stderr + stdout)));
  return { kind: 'broken', why: `${program}, which Docker's configuration names for ${server}: ${why}` };
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';
