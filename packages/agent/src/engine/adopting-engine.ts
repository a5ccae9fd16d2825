/**
 * The engine, with labels on adopted containers: labels say whose a container is, and nobody can give one any after it was made.
 * Everything else of the agent sees a container of ours.
 */
import type { CallOptions, ContainerFacts } from './engine.ts';
import { DockerEngine } from './docker-engine.ts';

type Labels = Readonly<Record<string, string>>;

export class AdoptingEngine extends DockerEngine {
  readonly #adopted = new Map<string, Labels>();

  adopt(containerId: string, labels: Labels): void {
    this.#adopted.set(containerId, labels);
  }

  /** It was there before Relight, which has not made it: whether any workload still has it or not. */
  isAdopted(containerId: string): boolean {
    return this.#adopted.has(containerId);
  }

  override async list(filter: { readonly labels?: Labels; readonly name?: string }, options: CallOptions = {}): Promise<readonly string[]> {
    const found = await super.list(filter, options);
    if (filter.labels === undefined || this.#adopted.size === 0) return found;
    const wanted = Object.entries(filter.labels);
    const matching = [...this.#adopted].filter(([, labels]) => wanted.every(([key, value]) => labels[key] === value));
    const missing = matching.map(([id]) => id).filter((id) => !found.includes(id));
    if (missing.length === 0) return found;
    // Not inspected: an engine that holds a lock on one of them lists it all the same.
    const all = new Set(await super.list({}, options));
    return [...found, ...missing.filter((id) => all.has(id))];
  }

  override async inspect(idOrName: string, options: CallOptions = {}): Promise<ContainerFacts | null> {
    const facts = await super.inspect(idOrName, options);
    const labels = facts === null ? undefined : this.#adopted.get(facts.id);
    return facts === null || labels === undefined ? facts : { ...facts, labels: { ...facts.labels, ...labels } };
  }
}
