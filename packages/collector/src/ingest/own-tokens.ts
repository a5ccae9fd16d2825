/**
 * How much of what there is for all a host's own token may use up: whoever has one would keep everybody out else. By network address,
 * so that who has stolen it does not keep that host out from wherever he is. Over all networks as well, for an IPv6 /48 has 65,536 of
 * them; where that host's agent was let in last it need not wait for the others. Of connections that have not said hello the oldest gives way:
 * an honest hello comes within milliseconds, so a thief pushes himself out. Pure but for the clock.
 */
import type { Clock } from '@relight/shared/clock';
import { networkOf } from '../access/client-address.ts';
import { Buckets } from './buckets.ts';

/** An agent dials at once when it is told to, seldom twice in a second, and each try waits longer than the one before. */
const fromOneNetwork = { atOnce: 20, perSecond: 1 };
/** Room for copies of a disk, which all try again twice a minute, and a twentieth of what there is for all. */
const fromAllNetworks = { atOnce: 100, perSecond: 10 };
/** At that pace the 20th is two seconds old: more than a slow network needs. */
export const underWayMax = 20;

export class OwnTokens {
  readonly #byNetwork: Buckets;
  readonly #byHost: Buckets;
  /** The network from where each host's agent was let in last. */
  readonly #homes = new Map<string, string>();
  /** How to end each connection that has not said hello, the oldest first. */
  readonly #underWay = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#byNetwork = new Buckets(fromOneNetwork, clock);
    this.#byHost = new Buckets(fromAllNetworks, clock);
  }

  /** False: somebody comes too often with the token of this host. */
  take(host: string, address: string): boolean {
    const network = networkOf(address);
    if (!this.#byNetwork.take(`${network} ${host}`)) return false;
    return this.#homes.get(host) === network || this.#byHost.take(host);
  }

  begin(host: string, giveWay: () => void): void {
    const underWay = this.#underWay.get(host) ?? new Set();
    const [oldest] = underWay;
    this.#underWay.set(host, underWay.add(giveWay));
    if (underWay.size > underWayMax) oldest?.();
  }

  /** @param giveWay as it was given to `begin` */
  end(host: string, giveWay: () => void): void {
    const underWay = this.#underWay.get(host);
    underWay?.delete(giveWay);
    if (underWay?.size === 0) this.#underWay.delete(host);
  }

  letIn(host: string, address: string): void {
    this.#homes.set(host, networkOf(address));
  }

  /** Called now and then. */
  forget(): void {
    this.#byNetwork.forget();
    this.#byHost.forget();
  }
}
