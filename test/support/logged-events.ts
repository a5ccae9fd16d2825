/** The agent logs each event with its number after it has gone into the outbox: a witness that the collector has no part in. */
import { readFileSync } from 'node:fs';
import type { LabAgent } from './lab.ts';

export interface LoggedEvent {
  readonly epoch: string;
  readonly seq: number;
  readonly kind: string;
  readonly msg: string;
}

export function loggedEvents(agent: LabAgent): LoggedEvent[] {
  const lines = readFileSync(agent.service.logFile, 'utf8').split('\n');
  return lines.filter((line) => line.includes('"seq":')).flatMap(eventIn);
}

/** A line that a SIGKILL has cut off has the next life's first one behind it. */
function eventIn(line: string): readonly LoggedEvent[] {
  for (let from = 0; from !== -1; from = line.indexOf('{"level":', from + 1)) {
    const read = parsed(line.slice(from));
    if (read !== null) return typeof read.seq === 'number' ? [read as LoggedEvent] : [];
  }
  return [];
}

function parsed(text: string): Partial<LoggedEvent> | null {
  try {
    return JSON.parse(text) as Partial<LoggedEvent>;
  } catch {
    return null;
  }
}
