/** What of the incidents the collector does not have yet, one message at a time: documents first, then their evidence. */
import type { Incident } from '@relight/shared/incident';
import type { AgentMessage, IncidentAck } from '@relight/shared/protocol';
import type { IncidentStore } from './store.ts';

export type IncidentMessage = Extract<AgentMessage, { type: 'incident' | 'incident-evidence' }>;

/** The incident lane as the uplink sees it. */
export interface IncidentLane {
  /** The next message; null: the collector has everything. Gives the same one again until it is acknowledged. */
  next(): IncidentMessage | null;
  acknowledged(ack: IncidentAck): void;
  /** Calls back, until disposed, when next() may have something that it had not before. */
  onReady(listener: () => void): { dispose(): void };
}

interface Progress {
  revision: number;
  /** There may be something to send. */
  due: boolean;
  readonly evidence: Set<string>;
}

export class Delivery {
  readonly #store: IncidentStore;
  /** Oldest first. What an earlier life had acknowledged is sent once more, and dropped there. */
  readonly #pending = new Map<string, Progress>();
  readonly #mayChange: (id: string) => boolean;

  /** `mayChange`: it is open, or closed so short a time ago that more may be learnt about it. */
  constructor(store: IncidentStore, mayChange: (id: string) => boolean) {
    this.#store = store;
    this.#mayChange = mayChange;
    for (const id of store.undelivered()) this.changed(id);
  }

  changed(id: string): void {
    const progress = this.#pending.get(id);
    if (progress === undefined) this.#pending.set(id, { revision: 0, due: true, evidence: new Set() });
    else progress.due = true;
  }

  next(): IncidentMessage | null {
    for (const [id, progress] of this.#pending) {
      if (!progress.due) continue;
      const message = this.#of(id, progress);
      if (message !== null) return message;
      progress.due = false;
    }
    return null;
  }

  acknowledged({ id, revision, evidence }: IncidentAck): void {
    const progress = this.#pending.get(id);
    if (progress === undefined) return;
    if (revision !== undefined) progress.revision = Math.max(progress.revision, revision);
    if (evidence !== undefined) progress.evidence.add(evidence);
    this.settle(id);
  }

  /** Nothing more will come of it: what is delivered is forgotten. */
  settle(id: string): void {
    const progress = this.#pending.get(id);
    if (progress === undefined || this.#mayChange(id) || this.#of(id, progress) !== null) return;
    this.#pending.delete(id);
    this.#store.delivered(id);
  }

  #of(id: string, progress: Progress): IncidentMessage | null {
    const incident = this.#store.load(id);
    // Removed to make room for newer ones.
    if (incident === null) return null;
    if (progress.revision < incident.revision) return { type: 'incident', incident };
    return this.#piece(incident, progress);
  }

  #piece(incident: Incident, { evidence }: Progress): IncidentMessage | null {
    for (const item of incident.evidence) {
      if (item.bytes === 0 || evidence.has(item.name)) continue;
      const body = this.#store.evidence(incident.id, item.name);
      if (body !== null) return { type: 'incident-evidence', incident: incident.id, item, body: body.toString('base64') };
      evidence.add(item.name);
    }
    return null;
  }
}
