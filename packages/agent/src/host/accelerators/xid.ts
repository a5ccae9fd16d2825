/**
 * Xids: what the NVIDIA driver writes into the kernel log when a card misbehaves. The watcher of the kernel log finds and
 * classifies them; here is decided, purely, which of them still matter.
 */
import { z } from 'zod';
import type { SupervisorEvent } from '../../supervisor/event.ts';
import type { GpuReport } from './gpu-report.ts';

export const knownXidSchema = z.object({
  code: z.number(),
  /** `0000:01:00.0`, as the kernel log has it. */
  address: z.string(),
  /** Epoch milliseconds. */
  at: z.number(),
  reason: z.string(),
  advice: z.string(),
  /** No workload that uses GPUs is started while it lasts. */
  held: z.boolean(),
});
export type KnownXid = z.infer<typeof knownXidSchema>;

/** A driver that says what it wants (565 and newer) has made up its mind by then. */
const driverDecidesMs = 60_000;
/** An older driver cannot say that a card was reset. After an hour of good reports it is believed. */
const believedMs = 3_600_000;
const xidsMax = 32;

/** One a card and code: the newest. */
export function rememberXid(xids: readonly KnownXid[], xid: KnownXid): readonly KnownXid[] {
  return [...xids.filter(({ code, address }) => code !== xid.code || address !== xid.address), xid].slice(-xidsMax);
}

/** A reboot forgets them all; that is the business of who keeps them. */
export function stillMatter(xids: readonly KnownXid[], { gpus, complete }: GpuReport, now: number): readonly KnownXid[] {
  return xids.filter(({ address, at }) => {
    const gpu = gpus.find(({ pciAddress }) => pciAddress === address);
    if (gpu === undefined || !complete || gpu.recovery !== null || gpu.unreadable.length > 0) return true;
    return now - at < (gpu.saysRecovery ? driverDecidesMs : believedMs);
  });
}

/** An Xid line of the kernel log, classified by its watcher. */
export interface SeenXid {
  readonly code: number;
  readonly address: string;
  readonly at: number;
  /** The process that the line names, by its host pid. */
  readonly pid: number | null;
  readonly action: XidAction;
  readonly reason: string;
  readonly advice: string;
}

/**
 * `app`: the program on it is to be started anew. `reset`, `replace`: of the GPU, of the host. `workflow`: NVIDIA's own list of
 * steps. `ignore`: nothing.
 */
export type XidAction = 'app' | 'reset' | 'replace' | 'workflow' | 'ignore';

export type XidFault =
  | { readonly kind: 'ignore' }
  /** `event`: for the workloads that use the card. */
  | { readonly kind: 'app'; readonly event: AcceleratorEvent }
  | { readonly kind: 'known'; readonly xid: KnownXid; readonly event: AcceleratorEvent | null };

type AcceleratorEvent = Extract<SupervisorEvent, { type: 'accelerator' }>;

/** Pure. */
export function xidFault({ code, address, at, action, reason, advice }: SeenXid): XidFault {
  if (action === 'ignore') return { kind: 'ignore' };
  const message = `Xid ${code} on the GPU at ${address}: ${reason}`;
  const data = { xid: code, address, advice };
  if (action === 'app') {
    return { kind: 'app', event: { type: 'accelerator', code: 'gpu-xid', message, level: 'process', recoverable: true, data } };
  }
  const held = action === 'reset' || action === 'replace';
  const event: AcceleratorEvent = { type: 'accelerator', code: 'gpu-failed', message, level: 'host', recoverable: false, data };
  return { kind: 'known', xid: { code, address, at, reason, advice, held }, event: held ? event : null };
}
