/**
 * Which source of lines somebody asks for. Also one that only a later version of an agent knows, by the name that its lines show; but what
 * is likely a mistake would be answered with silence. Pure.
 */
import { logSourceSchema, outputStreams, segmentKeySchema } from '@relight/shared/log-stream';
import { suggest } from '@relight/shared/suggest';

const known = ['container', 'process', 'setup', 'mount', 'agent', 'file:'];
const allowed = 'allowed: container, process, setup, mount, agent, file:NAME';

/** Null: it may be asked for. */
export function mistakenSource(text: string): string | null {
  if (logSourceSchema.safeParse(text).success) return null;
  const near = suggest(text, known);
  if (near !== undefined) return `did you mean ${near}? ${allowed}`;
  const isStream = suggest(text, outputStreams) !== undefined;
  return !isStream && segmentKeySchema.shape.source.safeParse(text).success ? null : allowed;
}
