/** Tells one content of a file from another without reading it: a new file under its name, and one written in place. */
import { stat } from 'node:fs/promises';

/** Of what a link leads to. Null: there is none, or nobody may look. Never fails. */
export async function fileIdentity(path: string): Promise<string | null> {
  const facts = await stat(path, { bigint: true }).catch(() => null);
  return facts === null ? null : [facts.dev, facts.ino, facts.size, facts.mtimeNs, facts.ctimeNs].join(' ');
}
