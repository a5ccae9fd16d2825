/**
 * Which lines belong together: tracebacks of Python with their chains, exceptions of Java, panics of Go and Rust, and whatever is
 * indented under a line. Only neighbours of one segment are asked about. Bounded, so that a log that is indented throughout
 * still comes in pieces.
 */
import { detectLevel, levelRank, plainText } from './level.ts';

export const recordLinesMax = 512;
export const recordBytesMax = 256 * 1024;

type State = 'plain' | 'python' | 'python-ended' | 'java' | 'go' | 'rust-message' | 'rust';

const traceback = /^Traceback \(most recent call last\):/;
/** `ValueError: text`, `KeyboardInterrupt`, `ray.exceptions.RayTaskError(ValueError): text`. */
const pythonError = /^[A-Za-z_][\w.]*(?:\([\w.]+\))?(?::|$)/;
const chained =
  /^(?:During handling of the above exception, another exception occurred:|The above exception was the direct cause of the following exception:)/;
const javaError = /^(?:Exception in thread "|(?:[\w$]+\.)+[\w$]*(?:Exception|Error|Throwable)\b)/;
const javaFrame = /^\s+at [\w$.<>/]+\(/;
const javaCause = /^(?:Caused by: |Suppressed: )/;
const goPanic = /^(?:panic: |fatal error: )/;
const goRest = /^(?:\[signal |goroutine \d+ \[|created by |exit status \d|\.\.\.additional frames elided)/;
const goCall = /^[\w./*()\-{}[\]·…,%~]+\(/;
const rustPanic = /^thread '[^']*' (?:\(\d+\) )?panicked at /;
const rustRest = /^(?:stack backtrace:|note: )/;

export interface RecordStart {
  /** Of the line with which it begins. */
  readonly index: number;
  /** It is no record of its own: the one before it was full. */
  readonly isCut: boolean;
}

/** Where records begin; the first is always line 0. `lines` are of one segment, without anything between. */
export function recordStarts(lines: readonly string[]): RecordStart[] {
  const starts: RecordStart[] = [];
  const plain = lines.map(plainText);
  let state: State = 'plain';
  let bytes = 0;
  for (const [index, text] of plain.entries()) {
    const begin = starts.at(-1)?.index ?? 0;
    const full = index - begin >= recordLinesMax || bytes + text.length > recordBytesMax;
    const next: State | null = index === 0 ? null : continued(state, plain, index, begin);
    if (next === null || full) {
      starts.push({ index, isCut: next !== null });
      bytes = 0;
    }
    bytes += text.length;
    // What was cut goes on as what it is: the error at the end of a long traceback still belongs to it.
    state = next ?? firstState(text);
  }
  return starts;
}

function firstState(text: string): State {
  if (traceback.test(text)) return 'python';
  if (javaError.test(text)) return 'java';
  if (goPanic.test(text)) return 'go';
  // Since Rust 1.73 the message stands on the line behind.
  return rustPanic.test(text) ? (text.endsWith(':') ? 'rust-message' : 'rust') : 'plain';
}

/** The state behind this line when it belongs to the record before it; null: it begins one. */
function continued(state: State, lines: readonly string[], index: number, begin: number): State | null {
  const text = lines[index] ?? '';
  const next = lines[index + 1] ?? '';
  if (/^[ \t]+\S/.test(text)) return state === 'plain' && javaFrame.test(text) ? 'java' : state;
  if (opensUnder(text, next) && index - begin === 1 && state === 'plain' && isTrouble(lines[begin] ?? '')) return firstState(text);
  switch (state) {
    case 'python':
      return pythonError.test(text) ? 'python-ended' : null;
    case 'python-ended':
      if (text === '') return chained.test(next) || traceback.test(next) ? 'python-ended' : null;
      if (chained.test(text)) return 'python-ended';
      return traceback.test(text) && chained.test(lastText(lines, index)) ? 'python' : null;
    case 'java':
      return javaCause.test(text) ? 'java' : null;
    case 'go':
      return isGo(text === '' ? next : text) ? 'go' : null;
    case 'rust-message':
      return 'rust';
    case 'rust':
      return rustRest.test(text) ? 'rust' : null;
    case 'plain':
      return null;
  }
}

/** Its end is looked at by itself: a line of 64 KiB of brackets took seconds in one expression. */
const isGo = (text: string): boolean => goRest.test(text) || (text.endsWith(')') && goCall.test(text));

/** `logger.exception(…)` writes its message first, then what went wrong. */
const opensUnder = (text: string, next: string): boolean => traceback.test(text) || (javaError.test(text) && javaFrame.test(next));

function isTrouble(text: string): boolean {
  const level = traceback.test(text) ? null : detectLevel(text);
  return level !== null && levelRank(level) >= levelRank('warning');
}

/** The last line in front that is not empty. */
function lastText(lines: readonly string[], index: number): string {
  for (let at = index - 1; at >= 0; at -= 1) if (lines[at] !== '') return lines[at] ?? '';
  return '';
}
