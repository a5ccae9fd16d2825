/** What journald lets through of a container's output: what is beyond its rate limit never reaches the journal, and nobody outside hears of it. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Finding, warning } from '@relight/shared/finding';

/** journald.conf(5): a file of an earlier directory hides one of the same name in a later one. */
const directories = ['/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd'];

export interface JournalRate {
  /** As it is written: `30s`. */
  readonly interval: string;
  readonly burst: string;
}

/** Of the configuration's texts in the order in which they are read; the last word counts. Null: there is no limit. Pure. */
export function journalRate(texts: readonly string[]): JournalRate | null {
  // Of journald itself, since systemd 240.
  const rate = { interval: '30s', burst: '10000' };
  for (const text of texts) {
    let section = '';
    for (const line of text.split('\n').map((untrimmed) => untrimmed.trim())) {
      section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
      const [, key = '', value = ''] = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(line) ?? [];
      if (section !== 'Journal') continue;
      if (key === 'RateLimitIntervalSec' || key === 'RateLimitInterval') rate.interval = value === '' ? '30s' : value;
      if (key === 'RateLimitBurst') rate.burst = value === '' ? '10000' : value;
    }
  }
  return isZero(rate.interval) || isZero(rate.burst) ? null : rate;
}

const isZero = (value: string): boolean => /^0+\s*[a-z]*$/i.test(value);

/** `name`: of a workload whose container logs to journald. */
export function checkJournal(name: string, rate: JournalRate | null = journalRate(configurations())): readonly Finding[] {
  if (rate === null) return [];
  const interval = /^\d+$/.test(rate.interval) ? `${rate.interval} s` : rate.interval;
  return [
    warning(
      `${name}: its container logs to journald, which drops what all containers of the engine together write beyond ${rate.burst} lines in ` +
        `${interval} (more where much disk is free), and no gap tells of it`,
      'Use json-file or local, or set RateLimitIntervalSec=0 under [Journal] in /etc/systemd/journald.conf.d/relight.conf and systemctl restart systemd-journald.',
    ),
  ];
}

/** A machine without any has the defaults. */
function configurations(): readonly string[] {
  const main = directories.map((directory) => read(join(directory, 'journald.conf'))).find((text) => text !== null);
  const dropIns = new Map<string, string>();
  for (const directory of directories) {
    for (const path of list(join(directory, 'journald.conf.d'))) if (!dropIns.has(basename(path))) dropIns.set(basename(path), path);
  }
  const ordered = [...dropIns.keys()].toSorted().map((name) => read(dropIns.get(name) ?? '') ?? '');
  return [main ?? '', ...ordered];
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
