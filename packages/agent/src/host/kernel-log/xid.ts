/**
 * Xids: what the NVIDIA driver writes into the kernel log when a card misbehaves. Pure. The action per code is that of NVIDIA's
 * catalogue ("XID Errors", docs.nvidia.com/deploy/xid-errors), brought down to what an operator does.
 */

/** `app`: the program is started anew. `reset`, `replace`: the card, the host. `workflow`: NVIDIA's own list of steps, also for unknown codes. */
export type XidAction = 'app' | 'reset' | 'replace' | 'workflow' | 'ignore';

export interface XidFact {
  readonly kind: 'xid';
  readonly code: number;
  /** PCI address as the kernel writes it, in lower case: `0000:3b:00.0`. */
  readonly address: string;
  /** The process that the driver blames, when it names one. */
  readonly process: { readonly pid: number; readonly name: string } | null;
  readonly text: string;
}

const actions: Readonly<Record<XidAction, readonly number[]>> = {
  app: [13, 31, 94],
  reset: [46, 62, 64, 95, 109, 119, 120, 140, 143],
  replace: [79],
  // 154 says itself what it wants: "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)".
  workflow: [48, 74, 144, 145, 146, 147, 148, 149, 150, 154],
  ignore: [43, 63, 92],
};
const byCode = new Map(Object.entries(actions).flatMap(([action, codes]) => codes.map((code) => [code, action as XidAction] as const)));

export const xidAction = (code: number): XidAction => byCode.get(code) ?? 'workflow';

export interface XidVerdict {
  readonly action: XidAction;
  readonly severity: 'info' | 'warning' | 'error' | 'critical';
  /** What to do; '' for nothing. */
  readonly advice: string;
}

const advice: Readonly<Record<XidAction, string>> = {
  app: 'Restart the program; if it comes back with another program, look at the card.',
  reset: 'Stop what uses the card and reset it (nvidia-smi --gpu-reset -i N), or reboot the host.',
  replace: 'Reboot the host; replace it if the card stays away.',
  workflow: 'Look this Xid up in NVIDIA’s catalogue and follow its steps; run the field diagnostics if it repeats.',
  ignore: '',
};
const severity = { app: 'warning', reset: 'error', replace: 'critical', workflow: 'error', ignore: 'info' } as const;

/** `text` of Xid 154 names its own action; of every other code the number decides. */
export function xidVerdict({ code, text }: Pick<XidFact, 'code' | 'text'>): XidVerdict {
  const action = code === 154 ? recoveryAction(text) : xidAction(code);
  return { action, severity: severity[action], advice: advice[action] };
}

function recoveryAction(text: string): XidAction {
  const wanted = /\bto 0x[\da-f]+ \(([^)]*)\)/i.exec(text)?.[1] ?? '';
  if (/^none$/i.test(wanted)) return 'ignore';
  if (/reset/i.test(wanted)) return 'reset';
  if (/reboot/i.test(wanted)) return 'replace';
  return 'workflow';
}

const line = /NVRM: Xid \((?:PCI:)?([^)]{1,64})\)[^:]*: (\d{1,5}),?\s*(.*)$/;

export function parseXid(text: string): XidFact | null {
  const match = line.exec(text);
  if (match === null) return null;
  const [, place = '', code = '', rest = ''] = match;
  const pid = /\bpid='?(\d{1,10})/.exec(rest)?.[1];
  const name = /\bname='?([^,']+)/.exec(rest)?.[1];
  return {
    kind: 'xid',
    code: Number(code),
    address: pciAddress(place),
    process: pid === undefined ? null : { pid: Number(pid), name: name ?? '' },
    text: rest,
  };
}

/** The driver leaves the function out, and old ones have a domain of eight digits or none. */
function pciAddress(place: string): string {
  const match = /^(?:([\da-f]{4,8}):)?([\da-f]{2}:[\da-f]{2})(\.\d)?$/i.exec(place);
  if (match === null) return place.toLowerCase();
  const [, domain = '0000', device = '', fn = '.0'] = match;
  return `${domain.slice(-4)}:${device}${fn}`.toLowerCase();
}
