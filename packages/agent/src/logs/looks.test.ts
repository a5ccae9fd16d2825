import { ManualClock } from '@relight/shared/manual-clock';
import { expect, test } from 'vitest';
import { Looks } from './looks.ts';

/** How often the files of a host were asked about anything while all of them were added, had grown, and came to their end. */
function questions(files: number): number {
  let asked = 0;
  const looks = new Looks(new ManualClock(), () => undefined);
  for (let id = 0; id < files; id += 1) {
    looks.add(String(id), {
      path: () => '/nowhere',
      stepMs: () => 100,
      look: () => {
        asked += 1;
        return true;
      },
      mayGrow: () => {
        asked += 1;
        return true;
      },
      unwatchable: () => undefined,
    });
  }
  for (let id = 0; id < files; id += 1) looks.lookAt(String(id));
  looks.close();
  return asked;
}

test('one more file costs the same however many there are', () => {
  expect(questions(4_000)).toBe(40 * questions(100));
});
