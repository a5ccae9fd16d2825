/** One look at the GPUs of a host, and what it is judged with. */
import type { GpuFault } from './gpu-fault.ts';
import type { GpuReading, GpuReport } from './gpu-report.ts';
import type { KnownXid } from './xid.ts';

export type GpuLook =
  /** `complaint`: what else it said, when it did not end well. */
  | {
      readonly kind: 'report';
      readonly report: GpuReport;
      readonly complaint: { readonly fault: GpuFault; readonly message: string } | null;
    }
  | { readonly kind: 'fault'; readonly fault: GpuFault; readonly message: string }
  /** A probe was killed at its deadline and ended. */
  | { readonly kind: 'timeout'; readonly message: string }
  /** A probe survives SIGKILL. */
  | { readonly kind: 'stuck' };

export interface GpuContext {
  /** From the configuration; null: nobody said. */
  readonly expected: number | null;
  /** By uuid: how many reports in a row say that the card is slowed down. */
  readonly throttled: ReadonlyMap<string, number>;
  readonly xids: readonly KnownXid[];
  /** Somebody wants GPUs here: the configuration, or a workload. */
  readonly needed: boolean;
  /** Every card that was seen since the machine booted, as last seen. */
  readonly known: readonly GpuReading[];
}
