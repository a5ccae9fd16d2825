/**
 * Xids: what the NVIDIA driver writes into the kernel log when a card misbehaves. The watcher of the kernel log finds and
 * classifies them; here is decided, purely, which of them still matter.
 */
import { z } from 'zod';
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
