import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { punchHole, type PunchHole } from './hole-puncher.ts';
import { SegmentTail } from './segment-tail.ts';
import { Space } from './space.ts';

const mebibyte = 1024 ** 2;
const filler = `${'x'.repeat(127)}\n`.repeat(8_192);

let directory = '';
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'relight-space-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

/** Files of runs, and what keeps them within a budget. */
class Runs {
  readonly tails: readonly SegmentTail[];
  readonly said: string[] = [];
  readonly #space: Space;
  #monotonic = 0;

  constructor(names: readonly string[], bytesMax: number, punch: PunchHole) {
    for (const name of names) fs.writeFileSync(join(directory, name), '');
    this.tails = names.map((name) => {
      const key = { workload: 'worker', generation: 1, source: 'process', run: name };
      return new SegmentTail({ key, path: join(directory, name), format: 'raw' }, undefined, null, (bytes) => bytes);
    });
    this.#space = new Space({
      bytesMax: () => bytesMax,
      delivering: true,
      punchHole: punch,
      kept: { bytes: 0, removeAll: () => undefined },
      save: () => undefined,
      logger: { warn: (_: unknown, text: string) => void this.said.push(text) } as ConstructorParameters<typeof Space>[0]['logger'],
    });
  }

  write(name: string, text: string, sent = true): void {
    fs.appendFileSync(join(directory, name), text);
    for (const tail of this.tails) {
      if (tail.source.path !== join(directory, name)) continue;
      tail.refresh(0, this.#monotonic);
      if (sent) tail.acknowledge(tail.file.end);
    }
  }

  /** Later than any failure before makes it wait. */
  keep(): Promise<void> {
    this.#monotonic += 600_000;
    return this.#space.keep(this.tails, this.#monotonic);
  }

  sizes(): number[] {
    return this.tails.map(({ source }) => fs.statSync(source.path).size);
  }

  close(): void {
    for (const { file } of this.tails) file.close();
  }
}

test('a file is not emptied while a range of it is being freed, and the others do not wait for it', async () => {
  const failure = new Error('fallocate ended with SIGKILL');
  const slow = Promise.withResolvers<void>();
  let tries = 0;
  const runs = new Runs(['slow', 'other'], 12 * mebibyte, () => {
    tries += 1;
    return tries <= 3 ? Promise.reject(failure) : slow.promise;
  });
  runs.write('slow', filler.repeat(5));
  for (let time = 0; time < 3; time += 1) await runs.keep();
  const freeing = runs.keep();
  expect(tries).toBe(4);
  runs.write('slow', filler.repeat(3));
  runs.write('other', filler.repeat(3));
  // Half of the budget is exceeded, and without the largest of what is sent it would not be.
  void runs.keep();
  expect(runs.sizes()).toEqual([8 * mebibyte, 3 * mebibyte]);
  runs.write('other', filler.repeat(12), false);
  // Here also what is not sent has to go.
  void runs.keep();
  expect(runs.sizes()).toEqual([8 * mebibyte, 0]);
  slow.reject(failure);
  await freeing;
  void runs.keep();
  expect(runs.sizes()).toEqual([0, 0]);
  runs.close();
});

test('one moment in which nothing can be freed of any file is one failure', async () => {
  let fails = true;
  const runs = new Runs(['a', 'b', 'c'], 16 * mebibyte, (...range) => (fails ? Promise.reject(new Error('EAGAIN')) : punchHole(...range)));
  for (const name of ['a', 'b', 'c']) runs.write(name, filler.repeat(5));
  await runs.keep();
  expect(runs.said).toEqual([expect.stringContaining('it is tried again')]);
  fails = false;
  runs.write('a', filler.repeat(20), false);
  await runs.keep();
  // Its oldest unsent bytes go, and no file as a whole.
  expect(runs.sizes()).toEqual([25 * mebibyte, 5 * mebibyte, 5 * mebibyte]);
  expect(runs.tails.map(({ givenUp }) => givenUp > 0)).toEqual([true, false, false]);
  runs.close();
});
