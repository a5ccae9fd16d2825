import assert from 'node:assert/strict';
import type { AgentEvent } from '@relight/shared/event';
import { unpackBlock, type Block } from '@relight/shared/log-block';
import { segmentId, type LogLine, type SegmentKey } from '@relight/shared/log-stream';
import type { Incident } from '@relight/shared/incident';
import type { CollectorMessage, Gap, Hello, IncidentEvidence } from '@relight/shared/protocol';

type Ack = Extract<CollectorMessage, { type: 'ack' }>;

/** What the protocol promises about the collector's store, as plain memory. Survives connections, as the store does. */
export class ModelCollector {
  readonly events: AgentEvent[] = [];
  readonly committedSeq = new Map<string, number>();
  readonly committed = new Map<string, number>();
  readonly lines = new Map<string, LogLine[]>();
  readonly gaps: Gap[] = [];
  /** The newest revision of each. */
  readonly incidents = new Map<string, Incident>();
  /** Compressed, by `ID NAME`. */
  readonly evidence = new Map<string, Buffer>();
  rewinds = 0;

  welcome(hello: Hello): CollectorMessage {
    return {
      type: 'welcome',
      protocol: 1,
      sessionId: 'session',
      heartbeatMs: 10_000,
      lastEventSeq: this.committedSeq.get(hello.epoch) ?? 0,
      segments: hello.segments
        .filter((segment) => segment !== null)
        .map((segment) => ({ segment, offset: this.committed.get(segmentId(segment)) ?? 0 })),
      watch: [],
      incidents: true,
    };
  }

  takeEvents(epoch: string, events: readonly AgentEvent[]): Ack {
    for (const [index, event] of events.entries())
      assert.equal(event.seq, (events[0]?.seq ?? 0) + index, 'a message holds consecutive events');
    const committed = this.committedSeq.get(epoch) ?? 0;
    this.events.push(...events.filter((event) => event.seq > committed));
    const seq = Math.max(committed, events.at(-1)?.seq ?? 0);
    this.committedSeq.set(epoch, seq);
    return { type: 'ack', events: { epoch, seq }, segments: [] };
  }

  takeBlock(block: Block): Ack {
    const { from, segment, to } = block.header;
    return this.#take(segment, from, to, () => {
      const id = segmentId(segment);
      this.lines.set(id, [...(this.lines.get(id) ?? []), ...unpackBlock(block)]);
    });
  }

  takeGap(gap: Gap): Ack {
    return this.#take(gap.segment, gap.from, gap.to, () => void this.gaps.push(gap));
  }

  takeIncident(incident: Incident): Ack {
    const { id, revision } = incident;
    if ((this.incidents.get(id)?.revision ?? 0) < revision) this.incidents.set(id, incident);
    return { type: 'ack', segments: [], incident: { id, revision } };
  }

  takeEvidence({ incident, item, body }: IncidentEvidence): Ack {
    const key = `${incident} ${item.name}`;
    const before = this.evidence.get(key);
    const after = Buffer.from(body, 'base64');
    assert.ok(before === undefined || before.equals(after), 'a piece of evidence never changes');
    this.evidence.set(key, after);
    return { type: 'ack', segments: [], incident: { id: incident, evidence: item.name } };
  }

  texts(segment: SegmentKey): string[] {
    return (this.lines.get(segmentId(segment)) ?? []).map(({ line }) => line);
  }

  #take(segment: SegmentKey, from: number, to: number, store: () => void): Ack {
    const id = segmentId(segment);
    const committed = this.committed.get(id) ?? 0;
    assert.ok(to > from, 'a frame covers something');
    if (from === committed) {
      store();
      this.committed.set(id, to);
      return { type: 'ack', segments: [{ segment, offset: to, rewind: false }] };
    }
    const duplicate = to <= committed;
    if (!duplicate) this.rewinds += 1;
    return { type: 'ack', segments: [{ segment, offset: committed, rewind: !duplicate }] };
  }
}
