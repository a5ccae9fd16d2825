/**
 * Takes over containers that were there before Relight, for workloads with `container: {adopt: NAME}`: remembers what they are,
 * takes the restarting out of the engine's hands, and restarts nothing.
 */
import type { Clock } from '@relight/shared/clock';
import { errorMessage, RelightError } from '@relight/shared/errors';
import type { ContainerSpec, WorkloadSpec } from '../config/spec.ts';
import type { AdoptingEngine } from './adopting-engine.ts';
import { adoptionRefusal, probableSecrets, type AdoptedDocument } from './adoption.ts';
import { labelsOfAdopted, readAdoption, writeAdoption, type Adoption } from './adoptions.ts';
import { managedLabels } from './create-options.ts';
import { ownerFromLabels } from './container-owner.ts';

export interface AdopterOptions {
  readonly engine: AdoptingEngine;
  readonly stateDir: string;
  readonly ownerId: string;
  readonly clock: Clock;
  /** A word to people about a workload. */
  readonly notice: (workload: string, severity: 'info' | 'warning' | 'error', message: string, data: Record<string, unknown>) => void;
  /** Values of a workload that must not be shown. */
  readonly secrets: (workload: string, values: readonly string[]) => void;
}

const callMs = 5_000;

export class Adopter {
  readonly #options: AdopterOptions;
  readonly #refusals = new Map<string, RelightError>();
  /** Adopted in this life, by workload; the disk did not take it. */
  readonly #unwritten = new Map<string, Adoption>();

  constructor(options: AdopterOptions) {
    this.#options = options;
  }

  /** What is remembered, without asking the engine. Null: this workload has never adopted that name. */
  remembered(spec: WorkloadSpec): ContainerSpec | null {
    const { adopt } = spec.container;
    const adoption = adopt === undefined ? null : this.#recall(spec.name, adopt);
    return adoption === null ? null : this.#use(spec, adoption);
  }

  /** What could not be written down is tried again: without it, what was adopted cannot be made anew. */
  #recall(workload: string, name: string): Adoption | null {
    const { stateDir } = this.#options;
    const unwritten = this.#unwritten.get(workload);
    if (unwritten?.name !== name) return readAdoption(stateDir, workload, name);
    try {
      writeAdoption(stateDir, unwritten);
      this.#unwritten.delete(workload);
    } catch {
      // Said when it was adopted. It is what it is all the same.
    }
    return unwritten;
  }

  /**
   * Looks at who holds the name now. Null: nothing to take over (nobody is there, it is ours already, or it is refused).
   * @param generation that the container gets, if it is new to us. Never fails: an engine that is silent is asked again later.
   */
  async look(spec: WorkloadSpec, generation: number): Promise<ContainerSpec | null> {
    const { adopt } = spec.container;
    if (adopt === undefined) return null;
    const { engine, stateDir, clock, notice } = this.#options;
    const document = (await engine.inspectRaw(adopt, { timeoutMs: callMs }).catch(() => null)) as AdoptedDocument | null;
    if (document === null || this.#isOurs(document)) return null;
    const known = this.#recall(spec.name, adopt);
    if (known?.document.Id !== document.Id && (await this.#hasRunning(spec.name))) return null;
    const refusal = adoptionRefusal(document);
    if (refusal !== null) {
      this.#refusals.set(spec.name, new RelightError('cannot-adopt', refusal.why, { advice: refusal.advice }));
      return null;
    }
    this.#refusals.delete(spec.name);
    const isNew = known?.document.Id !== document.Id;
    const adoption: Adoption = isNew ? { version: 1, workload: spec.name, name: adopt, generation, takenAt: clock.now(), document } : known;
    if (isNew) {
      // Told before it is written down: killed in between it is told twice rather than never.
      const owner = ownerFromLabels(document.Config.Labels ?? {});
      if (owner !== null)
        notice(spec.name, 'warning', `${adopt} was made by ${owner.who}, which may replace it. ${owner.advice}`, {
          containerId: document.Id,
        });
      try {
        writeAdoption(stateDir, adoption);
        this.#unwritten.delete(spec.name);
      } catch (thrown) {
        this.#unwritten.set(spec.name, adoption);
        notice(spec.name, 'error', `${adopt} is adopted, but what it is could not be written down: ${errorMessage(thrown)}`, {
          containerId: document.Id,
        });
      }
    }
    await this.#takeRestarts(spec.name, document);
    return this.#use(spec, adoption);
  }

  /** Why there is no container that could be made. For a workload that has adopted nothing yet. */
  why(spec: WorkloadSpec): RelightError {
    const name = spec.container.adopt ?? '';
    return (
      this.#refusals.get(spec.name) ??
      new RelightError('cannot-adopt', `there is no container named "${name}" on this host, and none of that name was ever adopted`, {
        advice: `Start it once (it is adopted as soon as it is there), or correct adopt: in the configuration.`,
      })
    );
  }

  #use(spec: WorkloadSpec, adoption: Adoption): ContainerSpec {
    const { engine, ownerId, secrets } = this.#options;
    engine.adopt(adoption.document.Id, labelsOfAdopted(adoption, ownerId));
    secrets(spec.name, probableSecrets(adoption.document));
    return { ...spec.container, image: adoption.document.Config.Image ?? adoption.document.Image ?? '', adoptedId: adoption.document.Id };
  }

  #isOurs({ Config }: AdoptedDocument): boolean {
    return Config.Labels?.[managedLabels.agent] === this.#options.ownerId;
  }

  /** Somebody took the name of a container that we keep: that is a conflict, not an invitation. */
  async #hasRunning(workload: string): Promise<boolean> {
    const { engine, ownerId } = this.#options;
    const labels = { [managedLabels.agent]: ownerId, [managedLabels.workload]: workload };
    const ids = await engine.list({ labels }, { timeoutMs: callMs }).catch(() => []);
    const facts = await Promise.all(ids.map((id) => engine.inspect(id, { timeoutMs: callMs }).catch(() => null)));
    return facts.some((container) => container?.status === 'running');
  }

  async #takeRestarts(workload: string, { Id, Name, HostConfig }: AdoptedDocument): Promise<void> {
    const policy = HostConfig.RestartPolicy?.Name ?? '';
    if (policy === '' || policy === 'no') return;
    const { engine, notice } = this.#options;
    const name = Name.replace(/^\//, '');
    const data = { containerId: Id, restartPolicy: policy };
    try {
      await engine.stopRestarting(Id, { timeoutMs: callMs });
      notice(workload, 'info', `${name}: its restart policy was ${policy} and is no now: Relight is the only restarter`, data);
    } catch (thrown) {
      notice(
        workload,
        'warning',
        `${name}: its restart policy is ${policy} and could not be changed: ${errorMessage(thrown)}. Run: docker update --restart no ${name}`,
        data,
      );
    }
  }
}
