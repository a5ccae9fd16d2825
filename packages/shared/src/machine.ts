/** `SYSTEM.HARDWARE`: hashes of the installed system's id and of the hardware's, `-` for what could not be read. */
export type MachineId = string;

/** What a person does where a copied image has given two machines one id. `systemd-machine-id-setup` takes the id of D-Bus where that is left. */
export const sharedMachineIdAdvice =
  'On the copy: rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup, then relight-agent join with a join token, then systemctl restart relight-agent.';

/** Whether both are the same machine as far as both know: an id read without root rights lacks the hardware's part. */
export function sameMachine(a: MachineId, b: MachineId): boolean {
  const theirs = b.split('.');
  const known = a.split('.').flatMap((part, i) => (part === '-' || (theirs[i] ?? '-') === '-' ? [] : [part === theirs[i]]));
  return known.length > 0 && known.every(Boolean);
}
