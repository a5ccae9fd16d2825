/** Records of the kernel log → what matters to a host and its containers. Pure: a fold over the records in their order. */
import { noOom, oomStep, type OomContext, type OomFact } from './oom.ts';
import type { KernelRecord } from './record.ts';
import { parseTrouble, type TroubleFact } from './trouble.ts';
import { parseXid, type XidFact } from './xid.ts';

/** Nobody has this file system any more, as far as the kernel says. */
export interface UnmountedFact {
  readonly kind: 'unmounted';
  readonly device: string;
}

export type KernelFact = OomFact | XidFact | TroubleFact | UnmountedFact;

/** What earlier records say about later ones. */
export type KernelContext = OomContext;
export const noContext: KernelContext = noOom;

/** Longer lines than the kernel's own (about 1 KiB) are somebody's data; their beginning says what they are. */
const textMax = 2_048;

export function interpret(
  before: KernelContext,
  record: Pick<KernelRecord, 'text'>,
): { readonly context: KernelContext; readonly fact: KernelFact | null } {
  const text = record.text.slice(0, textMax);
  const { context, fact } = oomStep(before, text);
  return { context, fact: fact ?? parseXid(text) ?? parseTrouble(text) ?? parseUnmounted(text) };
}

// ext4, xfs · btrfs (from Linux 6.5)
const unmounted =
  /^(?:EXT[234]-fs|XFS) \((?<device>[^)]+)\): unmounting filesystem\b|^BTRFS info \(device (?<device2>\S+?)(?: state \S+)?\): last unmount/i;

function parseUnmounted(text: string): UnmountedFact | null {
  const { device, device2 = device } = unmounted.exec(text)?.groups ?? {};
  return device2 === undefined ? null : { kind: 'unmounted', device: device2 };
}
