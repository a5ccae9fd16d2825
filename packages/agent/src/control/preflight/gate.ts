/** The host as such: what its gate would wait for now, and the commands of its setup. */
import { join } from 'node:path';
import { connects } from '../../checks/tcp.ts';
import type { AgentSpec, GateSpec } from '../../config/spec.ts';
import {
  asksPackageManager,
  seeHandsOff,
  seePackageManager,
  seePendingReboot,
  seeScheduledShutdown,
  type ReadingsOptions,
} from '../../host/gate/readings.ts';
import { ok, warning, type Finding } from '@relight/shared/finding';

const tcpTimeoutMs = 5_000;

export interface GateFacts {
  readonly stateDir: string;
  readonly wallNow: number;
  readonly engineAnswers: boolean;
  /** Another one than '/', for tests. */
  readonly root?: string | undefined;
}

/** Warnings only: whatever the gate waits for now may be over when the agent starts. */
export async function checkGate(spec: AgentSpec, { stateDir, wallNow, engineAnswers, root }: GateFacts): Promise<readonly Finding[]> {
  const { gate, guard } = spec.host;
  const options: ReadingsOptions = {
    spec: gate,
    guard: { file: guard.file ?? join(stateDir, 'hands-off'), maxAgeMs: guard.maxAgeMs },
    ...(root === undefined ? {} : { root }),
  };
  const seen = [
    seeHandsOff(options, wallNow),
    ...(asksPackageManager(gate) ? [await seePackageManager(options)] : []),
    seePendingReboot(options, wallNow),
    seeScheduledShutdown(options, wallNow),
  ];
  const waits = seen.flatMap(({ reading, condition }): Finding[] => {
    const advice = condition?.advice ?? '';
    if (!reading.ok) return [warning(`the gate waits: ${reading.message}`, advice)];
    return condition === undefined || condition.severity === 'info' ? [] : [warning(reading.message, advice)];
  });
  const away = engineAnswers ? [] : [warning('the gate waits: the engine does not answer', 'It opens when the engine does.')];
  const all = [...waits, ...away, ...(await Promise.all(gate.tcp.map((address) => checkTarget(address, gate))))];
  return all.some(({ level }) => level !== 'ok') ? all : [ok('the gate of this host would be open'), ...all];
}

async function checkTarget(address: string, { timeoutMs }: GateSpec): Promise<Finding> {
  const outcome = await connects(address, Math.min(tcpTimeoutMs, timeoutMs), new AbortController().signal);
  if (outcome.ok) return ok(`host.gate.tcp: ${address} accepts connections`);
  return warning(`the gate waits: ${address}: ${outcome.message}`, 'Correct the address, or bring up what should answer there.');
}
