/** The agents whose names the connections carry, and whether the collector listens to them at all. */
import type { CollectorMessage } from '@relight/shared/protocol';
import type { Randomness } from './randomness.ts';

/** Of those who say hello as they should: others of the same name come all the time, and the newest wins. */
const welcomedShareMin = 0.25;
/** Fewer may all have met with somebody newer. */
const enoughGreeted = 10;
/** Connections for which a second agent of the same host comes, which ends the first. */
const rivalShare = 0.1;

export class FuzzAgents {
  readonly #hosts: readonly string[];
  readonly #busy = new Map<string, number>();
  readonly #lives = new Map<string, number>();
  #greeted = 0;
  #welcomes = 0;
  #acks = 0;

  constructor(hosts: readonly string[]) {
    this.#hosts = hosts;
  }

  /** Mostly a host that nobody speaks for: who is replaced at once is hardly listened to. Give it back. */
  take(random: Randomness): string {
    const free = this.#hosts.filter((host) => (this.#busy.get(host) ?? 0) === 0);
    const host = random.pick(free.length === 0 || random.chance(rivalShare) ? this.#hosts : free);
    this.#busy.set(host, (this.#busy.get(host) ?? 0) + 1);
    return host;
  }

  giveBack(host: string): void {
    this.#busy.set(host, (this.#busy.get(host) ?? 0) - 1);
  }

  /** A host has another agent after somebody has taken its name over. */
  idOf(host: string): string {
    return `agent-of-${host}-${this.#lives.get(host) ?? 1}`;
  }

  /** Said hello as it should. */
  greeted(): void {
    this.#greeted += 1;
  }

  heard({ type }: CollectorMessage): void {
    if (type === 'welcome') this.#welcomes += 1;
    if (type === 'ack') this.#acks += 1;
  }

  /** The collector has ended its connection at the hello: its id is locked out where a mutated hello had another one. */
  turnedAway(host: string, agentId: string): void {
    if (this.idOf(host) === agentId) this.#lives.set(host, (this.#lives.get(host) ?? 1) + 1);
  }

  /** What was heard since the last time. @throws where that is so little that frames have not been tried */
  check(): string {
    const [greeted, welcomes, acks] = [this.#greeted, this.#welcomes, this.#acks];
    const heard = `${welcomes} welcomes for ${greeted} hellos, ${acks} acks`;
    if (greeted >= enoughGreeted && (welcomes < greeted * welcomedShareMin || acks === 0))
      throw new Error(`frames are thrown away unread: ${heard}`);
    [this.#greeted, this.#welcomes, this.#acks] = [0, 0, 0];
    return heard;
  }
}
