/**
 * One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg in the kernel's sources): `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS[,…];TEXT`,
 * then lines of a dictionary that begin with a space. Unprintable bytes come as `\xHH`. Pure.
 */

export interface KernelRecord {
  readonly seq: number;
  /** Microseconds since boot, by the kernel's own clock, which drifts a little from every other. */
  readonly bootUs: number;
  /** syslog severity: 0 emergency … 7 debug. */
  readonly level: number;
  /** One line. */
  readonly text: string;
}

const header = /^(\d{1,10}),(\d{1,20}),(\d{1,20}),[^;\n]*;([^\n]*)/;

/** Null: nothing that the kernel writes. */
export function parseKernelRecord(raw: string): KernelRecord | null {
  const match = header.exec(raw);
  if (match === null) return null;
  const [, priority = '', seq = '', bootUs = '', text = ''] = match;
  // Facility 0 is the kernel. Anybody who is root may write the others into /dev/kmsg, systemd does; nobody can write facility 0.
  const value = Number(priority);
  if (value >> 3 !== 0) return null;
  return { seq: Number(seq), bootUs: Number(bootUs), level: value & 7, text: unescape(text) };
}

const unescape = (text: string): string =>
  text.replaceAll(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))).replaceAll(/\p{Cc}+/gu, ' ');
