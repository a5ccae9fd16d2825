/** From where a request comes: the peer itself, or, behind a proxy that is trusted, whom that one names. */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Undefined: it is neither an address nor a network such as 10.0.0.0/8. */
export function parseNetwork(text: string): { readonly address: string; readonly prefix: number } | undefined {
  const [address = '', prefixText, ...rest] = text.split('/');
  const version = isIP(address);
  const longest = version === 4 ? 32 : 128;
  const prefix = prefixText === undefined ? longest : /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : -1;
  return version === 0 || rest.length > 0 || prefix < 0 || prefix > longest ? undefined : { address, prefix };
}

export class ClientAddresses {
  readonly #trusted = new BlockList();

  /** @param trustedProxies addresses and networks; only what these add to X-Forwarded-For is believed */
  constructor(trustedProxies: readonly string[]) {
    for (const network of trustedProxies.map(parseNetwork)) {
      if (network !== undefined) this.#trusted.addSubnet(network.address, network.prefix, family(network.address));
    }
  }

  /** Anybody can write the header: it is read from its end, and only as far as proxies that are trusted have written it. */
  of(request: Pick<IncomingMessage, 'headers' | 'socket'>): string {
    let address = plain(request.socket.remoteAddress ?? '');
    const header = request.headers['x-forwarded-for'];
    const hops = [header ?? '']
      .flat()
      .join(',')
      .split(',')
      .map((hop) => plain(hop.trim()));
    for (let hop = hops.pop(); this.#isTrusted(address) && hop !== undefined && isIP(hop) !== 0; hop = hops.pop()) address = hop;
    return address;
  }

  #isTrusted(address: string): boolean {
    return isIP(address) !== 0 && this.#trusted.check(address, family(address));
  }
}

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

/** An IPv4 address as an IPv6 socket shows it is the same address. */
const plain = (address: string): string => (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address);

/** Whoever has one IPv6 address has a whole /64 of them. */
export function networkOf(ofSocket: string): string {
  const address = plain(ofSocket);
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const after = (tail ?? '').split(':').filter((group) => group !== '');
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => '0');
  return [...groups, ...zeros, ...after].slice(0, 4).join(':');
}
