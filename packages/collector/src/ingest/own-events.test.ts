import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { Bus } from '../bus.ts';
import type { CollectorEvent, StoredEvent } from '../store/store.ts';
import { OwnEvents } from './own-events.ts';

test('a notice that has come too often takes the place of none about another matter: who has the name of a host now is told', () => {
  const stored: CollectorEvent[] = [];
  const store = {
    commitOwnEvent: (event: CollectorEvent): Promise<StoredEvent> => {
      stored.push(event);
      return new Promise<never>(() => undefined);
    },
  };
  const own = new OwnEvents({ store, bus: new Bus(), clock: new ManualClock(), warn: () => undefined });
  const notice = (data: Record<string, unknown>): void =>
    own.tell({ at: 1, host: 'h', workload: null, generation: null, kind: 'host.notice', severity: 'warning', message: 'm', data });
  for (let i = 0; i < 100; i += 1) notice({ address: i });
  notice({ fenced: 'agent-1' });
  notice({ former: 'h0' });
  for (let i = 0; i < 100; i += 1) notice({ address: i });
  expect(stored).toHaveLength(22);
  expect(stored.slice(20).map(({ data }) => data)).toEqual([{ fenced: 'agent-1' }, { former: 'h0' }]);
});
