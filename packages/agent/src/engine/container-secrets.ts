/**
 * What running containers were given from env files, or as a variable that is secret by its name, which need not be what files and configuration say by now: learnt once for each, from
 * the names in its label and the engine's own document.
 */
import type { SecretValues } from '../config/secret-values.ts';
import { managedLabels } from './create-options.ts';
import type { ContainerFacts, Engine } from './engine.ts';

export interface ContainerSecretsOptions {
  readonly engine: Pick<Engine, 'inspectRaw'>;
  /** By workload. */
  readonly secrets: ReadonlyMap<string, SecretValues>;
}

export class ContainerSecrets {
  readonly #options: ContainerSecretsOptions;
  readonly #known = new Set<string>();

  constructor(options: ContainerSecretsOptions) {
    this.#options = options;
  }

  /** Never fails: what the engine does not tell this time is asked again at the next look. */
  async learn(own: readonly ContainerFacts[]): Promise<void> {
    for (const facts of own) if (!this.#known.has(facts.id)) await this.#learnOne(facts);
  }

  async #learnOne({ id, labels }: ContainerFacts): Promise<void> {
    const { engine, secrets } = this.#options;
    const names = labels[managedLabels.secrets]?.split(',') ?? [];
    if (names.length > 0) {
      const values = secrets.get(labels[managedLabels.workload] ?? '');
      // Its workload may be put back into the configuration, with an env file that says something else by then.
      if (values === undefined) return;
      const document = await engine.inspectRaw(id).catch(() => null);
      if (document === null) return;
      const env = (document['Config'] as { readonly Env?: readonly string[] } | undefined)?.Env ?? [];
      values.learn(env.filter((pair) => names.includes(pair.split('=', 1)[0] ?? '')).map((pair) => pair.slice(pair.indexOf('=') + 1)));
    }
    this.#known.add(id);
  }
}
