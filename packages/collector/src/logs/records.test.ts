import fc from 'fast-check';
import { expect, test } from 'vitest';
import { recordLinesMax, recordStarts } from './records.ts';

/** Records are written as one text each; what comes back must be the same ones. */
function regrouped(records: readonly string[]): readonly string[] {
  const lines = records.flatMap((record) => record.split('\n'));
  const starts = recordStarts(lines).map(({ index }) => index);
  return starts.map((start, index) => lines.slice(start, starts[index + 1]).join('\n'));
}

const python = `Traceback (most recent call last):
  File "train.py", line 1, in <module>
    step()
ValueError: bad shape`;

test('a traceback of Python, with what stands around it', () => {
  let given = ['step 1', python, 'step 2', 'ValueError: not part of anything'];
  expect(regrouped(given)).toEqual(given);
  given = ['KeyboardInterrupt', python.replace('ValueError: bad shape', 'KeyboardInterrupt'), '', 'next'];
  expect(regrouped(given)).toEqual(given);
});

test('logger.exception: the message and its traceback are one', () => {
  let given = [`ERROR:root:step failed\n${python}`, 'INFO:root:goes on'];
  expect(regrouped(given)).toEqual(given);
  given = ['INFO:root:harmless', python];
  expect(regrouped(given)).toEqual(given);
});

test('chains of tracebacks', () => {
  let given = [
    'before',
    `${python}\n\nDuring handling of the above exception, another exception occurred:\n\n${python}\n\nThe above exception was the direct cause of the following exception:\n\n${python}`,
    'after',
  ];
  expect(regrouped(given)).toEqual(given);
  given = [python, '', 'after an empty line', python];
  expect(regrouped(given)).toEqual(given);
});

test('a traceback that Ray passes on from a worker', () => {
  const prefix = (text: string): string => text.replaceAll(/^/gm, '\u001b[36m(f pid=12, ip=10.0.0.1)\u001b[0m ');
  let given = ['before', prefix(python), prefix('next')];
  expect(regrouped(given)).toEqual(given);
  given = [python.replace('ValueError: bad shape', 'ray.exceptions.RayTaskError(ValueError): ray::f() (pid=1)'), 'next'];
  expect(regrouped(given)).toEqual(given);
});

test('Java, Go and Rust', () => {
  let given = [
    '2026-01-31 12:00:00,123 INFO up',
    '2026-01-31 12:00:00,123 ERROR lost\njava.lang.IllegalStateException: x\n\tat com.example.Main.main(Main.java:3)\nCaused by: java.io.IOException: y\n\tat a.B.c(B.java:1)\n\t... 12 more',
    'Exception in thread "main" java.lang.RuntimeException: z\n\tat a.B.c(B.java:1)',
    'next',
  ];
  expect(regrouped(given)).toEqual(given);
  given = [
    'up',
    'panic: runtime error: index out of range [1] with length 1\n\ngoroutine 1 [running]:\nmain.f(0x1, {0x2, 0x3})\n\t/app/main.go:12 +0x1\nmain.main()\n\t/app/main.go:3 +0x2\nexit status 2',
    'up again',
  ];
  expect(regrouped(given)).toEqual(given);
  given = [
    "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds\nnote: run with `RUST_BACKTRACE=1`\nstack backtrace:\n   0: std::panicking",
    'next',
  ];
  expect(regrouped(given)).toEqual(given);
});

test('what is indented belongs to the line above', () => {
  const given = ['config:\n  a: 1\n\tb: 2', 'next', '', 'last'];
  expect(regrouped(given)).toEqual(given);
});

test('bounded: no record has more lines than the limit', () => {
  const lines = ['head', ...Array.from({ length: 3 * recordLinesMax }, () => '  indented')];
  expect(recordStarts(lines)).toEqual(
    [0, recordLinesMax, 2 * recordLinesMax, 3 * recordLinesMax].map((index) => ({ index, isCut: index > 0 })),
  );
});

test('what is cut goes on as what it is, and what only stands behind a full record is no part of it', () => {
  const frames = Array.from({ length: recordLinesMax }, (_, i) => `  File "train.py", line ${i}, in f`);
  const long = ['Traceback (most recent call last):', ...frames, 'ValueError: bad shape'];
  expect(recordStarts([...long, 'step 2'])).toEqual([
    { index: 0, isCut: false },
    { index: recordLinesMax, isCut: true },
    { index: long.length, isCut: false },
  ]);
  expect(recordStarts([...long.slice(0, recordLinesMax), 'step 2'])).toEqual([
    { index: 0, isCut: false },
    { index: recordLinesMax, isCut: false },
  ]);
});

test('a long line costs no more than its length', () => {
  const before = process.cpuUsage();
  for (const bracket of ['(', '()', ')(', 'a.b(']) {
    const lines = ['panic: x', ...Array.from({ length: 4 }, () => bracket.repeat(60_000 / bracket.length))];
    expect(recordStarts(lines)[0]?.index).toBe(0);
  }
  expect(process.cpuUsage(before).user).toBeLessThan(2_000_000);
});

test('whatever the lines: starts ascend from the first line, and what begins a line plainly begins a record', () => {
  const line = fc.oneof(
    fc.constantFrom(
      '',
      '  x',
      ...python.split('\n'),
      'panic: x',
      'goroutine 1 [running]:',
      '\tat a.b(c.java:1)',
      'Caused by: x',
      'two words',
    ),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const starts = recordStarts(lines).map(({ index }) => index);
      expect(starts[0]).toBe(lines.length === 0 ? undefined : 0);
      expect(starts).toEqual([...new Set(starts)].toSorted((a, b) => a - b));
      const plain = [...lines.keys()].filter((index) => lines[index] === 'two words');
      expect(plain.filter((index) => !starts.includes(index))).toEqual([]);
    }),
  );
});
