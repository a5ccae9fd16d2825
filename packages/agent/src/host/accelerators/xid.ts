/**
 * Xids: what the NVIDIA driver writes into the kernel log when a card misbehaves. The watcher of the kernel log finds and
 * classifies them; here is decided, purely, which of them still matter.
 */
import * as z from 'zod';
import type { SupervisorEvent } from '../../supervisor/event.ts';
import { type XidFact, xidVerdict } from '../kernel-log/xid.ts';
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

export type AcceleratorEvent = Extract<SupervisorEvent, { type: 'accelerator' }>;

/** What an Xid means here. `known`: to be remembered with the card. `event`: for the workloads that use it. */
export interface XidMeaning {
  readonly known: KnownXid | null;
  readonly event: AcceleratorEvent | null;
}

/** `app` is the program's fault and ends with it. `reset` and `replace` hold every start; for the rest a person decides. */
export function meaningOf(fact: XidFact, at: number): XidMeaning {
  const { code, address } = fact;
  const { action, advice } = xidVerdict(fact);
  const text = fact.text === '' ? 'no text' : fact.text.slice(0, 300);
  const message = `Xid ${code} on the GPU at ${address}: ${text}`;
  const data = { xid: code, address, advice };
  switch (action) {
    case 'ignore':
      return { known: null, event: null };
    case 'app':
      return { known: null, event: { type: 'accelerator', code: 'gpu-xid', message, level: 'process', recoverable: true, data } };
    case 'workflow':
      return { known: { code, address, at, reason: text, advice, held: false }, event: null };
    case 'reset':
    case 'replace':
      return {
        known: { code, address, at, reason: text, advice, held: true },
        event: { type: 'accelerator', code: 'gpu-failed', message, level: 'host', recoverable: false, data },
      };
  }
}
