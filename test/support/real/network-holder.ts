/**
 * A container that does nothing but hold a network address: what runs with `network_mode: container:NAME` is on "its machine"
 * and keeps the address when it is recreated, as with the host's network on a fleet.
 */
import type { DockerApi } from '../docker-api.ts';

export interface NetworkHolder {
  readonly name: string;
  readonly address: string;
  /** For `network_mode`. */
  readonly mode: string;
}

export async function startNetworkHolder(docker: DockerApi, name: string, image: string): Promise<NetworkHolder> {
  const id = await docker.run(name, image, ['sleep', 'infinity']);
  const facts = (await docker.inspect(id)) as { readonly NetworkSettings?: { readonly IPAddress?: string } } | null;
  const address = facts?.NetworkSettings?.IPAddress ?? '';
  if (address === '') throw new Error(`${name} has no address`);
  return { name, address, mode: `container:${name}` };
}
