import { setImmediate as turn } from 'node:timers/promises';
import { ManualClock } from '@relight/shared/manual-clock';
import { describe, expect, it } from 'vitest';
import { Bus } from './bus.ts';
import { startRetention } from './retention-timer.ts';

const limits = { logsMs: 1_000_000, logsBytesMax: 500, eventsMs: 2_000_000 };

function begin() {
  const clock = new ManualClock();
  const asked: string[] = [];
  const errors: string[] = [];
  const store = {
    failing: false,
    eventsFail: false,
    async pruneLogs({ logsBefore, logsBytesMax }: { logsBefore: number; logsBytesMax: number }) {
      asked.push(`logs before ${clock.now() - logsBefore}, at most ${logsBytesMax}`);
      if (store.failing) throw new Error('no disk');
      return 1;
    },
    async pruneOpenIncidents(before: number) {
      return clock.now() - before === limits.eventsMs ? [{ host: 'h', id: 'i', workload: null }] : [];
    },
    async prune({ eventsBefore }: { eventsBefore: number }) {
      asked.push(`all, events before ${clock.now() - eventsBefore}`);
      if (store.eventsFail) throw new Error('no room to delete');
      return { events: 1, pieces: 1 };
    },
  };
  const removed: unknown[] = [];
  const bus = new Bus();
  bus.subscribe('incidentsRemoved', (gone) => void removed.push(...gone));
  const logger = { info: () => {}, error: (_: object, message: string) => void errors.push(message) };
  const retention = startRetention({ store, bus, clock, limits, logger });
  const minutes = async (count: number): Promise<void> => {
    for (let minute = 0; minute < count; minute += 1) {
      clock.advance(60_000);
      await turn();
    }
  };
  return { asked, clock, errors, minutes, removed, retention, store };
}

describe('retention', () => {
  it('looks at logs every minute and at everything after five minutes and then once an hour', async () => {
    const { asked, minutes, removed } = begin();
    await minutes(125);
    expect(removed).toEqual(Array.from({ length: 3 }, () => ({ host: 'h', id: 'i', workload: null })));
    const logs = 'logs before 1000000, at most 500';
    const all = 'all, events before 2000000';
    expect(asked).toEqual(Array.from({ length: 125 }, (_, minute) => (minute % 60 === 4 ? [logs, all] : [logs])).flat());
  });

  it('removes logs all the same where nothing else can be removed: on a full disk they are what gives room', async () => {
    const { asked, errors, minutes, store } = begin();
    store.eventsFail = true;
    await minutes(10);
    expect(asked.filter((what) => what.startsWith('logs'))).toHaveLength(10);
    expect(errors).toHaveLength(6);
  });

  it('says what failed, and tries again a minute later', async () => {
    const { asked, errors, minutes, store } = begin();
    store.failing = true;
    await minutes(1);
    expect(errors).toEqual(['retention failed: no disk']);
    store.failing = false;
    await minutes(1);
    expect(asked).toHaveLength(2);
    expect(errors).toHaveLength(1);
  });

  it('does nothing any more once it is closed', async () => {
    const { asked, clock, minutes, retention } = begin();
    await retention.close();
    await minutes(10);
    expect([asked, clock.pendingTimers]).toEqual([[], 0]);
  });
});
