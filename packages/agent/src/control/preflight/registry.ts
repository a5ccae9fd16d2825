/** Can an image that has to be pulled be pulled? The registry is only knocked at. */
import { connects } from '../../checks/tcp.ts';
import type { WorkloadSpec } from '../../config/spec.ts';
import { registryLogin, registryOf } from '../../engine/registry-auth.ts';
import { error, ok, warning, type Finding } from '@relight/shared/finding';

const knockMs = 3_000;
/** Registries of clouds: hardly anything there is open to everybody. */
const closed = /(\.pkg\.dev|(^|\.)gcr\.io|\.dkr\.ecr\.[\w-]+\.amazonaws\.com|\.azurecr\.io)$/;

/** @param here the image is on this host already */
export async function checkRegistry(
  { name, container: { image } }: WorkloadSpec,
  here: boolean,
  env: NodeJS.ProcessEnv,
): Promise<readonly Finding[]> {
  const tell = here ? warning : error;
  const registry = registryOf(image);
  const address = addressOf(registry);
  const [{ ok: open, message }, login] = await Promise.all([
    connects(address, knockMs, new AbortController().signal),
    registryLogin(image, env),
  ]);
  const findings: Finding[] = [];
  if (!open) {
    findings.push(
      tell(
        `${name}: the registry ${address} cannot be reached from here: ${message}`,
        here ? 'Without it the image of this host is used.' : 'Check network and proxy, or load the image: docker load.',
      ),
    );
  }
  if (login.kind === 'broken')
    findings.push(tell(`${name}: the login for ${registry} does not work: ${login.why}`, 'Log in as root, or install the helper.'));
  else if (login.kind === 'none' && closed.test(registry.replace(/:\d+$/, ''))) {
    findings.push(
      warning(
        `${name}: nobody has logged in to ${registry} on this host (${login.configFile})`,
        registry.endsWith('.pkg.dev') || registry.endsWith('gcr.io')
          ? `As root: gcloud auth configure-docker ${registry}`
          : `As root: docker login ${registry}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [ok(`${name}: the registry ${registry} can be reached${login.kind === 'known' ? `, with the login of ${login.from}` : ''}`)];
}

/** Registries on the own host may speak without TLS, as the engine has it. */
function addressOf(registry: string): string {
  if (registry === 'docker.io') return 'registry-1.docker.io:443';
  if (/:\d+$/.test(registry)) return registry;
  return `${registry}:${registry === 'localhost' ? 80 : 443}`;
}
