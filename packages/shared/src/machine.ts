/** `SYSTEM.HARDWARE`: hashes of the installed system's id and of the hardware's, `-` for what could not be read. */
export type MachineId = string;

/** Whether both are the same machine as far as both know: an id read without root rights lacks the hardware's part. */
export function sameMachine(a: MachineId, b: MachineId): boolean {
  const theirs = b.split('.');
  const known = a.split('.').flatMap((part, i) => (part === '-' || (theirs[i] ?? '-') === '-' ? [] : [part === theirs[i]]));
  return known.length > 0 && known.every(Boolean);
}
