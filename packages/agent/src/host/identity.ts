/**
 * Whose containers these are. The id stands in the label `relight.agent` of every container, so it must survive everything
 * that containers survive, a deleted state directory included: it is derived from the machine and the directory's path, and
 * persisted so that it also survives a move of the directory. A copy of the state directory on another machine (a golden
 * image) is not this agent: it gets an id of its own.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, RelightError } from '@relight/shared/errors';
import { type MachineId, sameMachine } from '@relight/shared/machine';
import * as z from 'zod';
import { replaceFileDurably } from './atomic-file.ts';

const identityFileSchema = z.object({ agentId: z.string().min(8).max(128), machineId: z.string().min(1) });

export interface Identity {
  /** In the form of a UUID. */
  readonly agentId: string;
  /** False: taken from the state directory as it stood. */
  readonly created: boolean;
  /** Where the id comes from, for a person. */
  readonly reason: string;
}

interface IdentityOptions {
  readonly stateDir: string;
  readonly machineId: MachineId;
}
const fileIn = (stateDir: string): string => join(stateDir, 'identity.json');

/** Fails with disk-full or config-invalid when a new identity cannot be kept. */
export function loadIdentity(options: IdentityOptions): Identity {
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const identity = identityOf(options);
  if (identity.created) keep(options, identity);
  return identity;
}

/** As loadIdentity has it, with nothing written. The state directory must be there. */
export function identityOf(options: IdentityOptions): Identity {
  const kept = readIdentityFile(fileIn(options.stateDir));
  if (kept !== null && sameMachine(kept.machineId, options.machineId)) {
    return { agentId: kept.agentId, created: false, reason: 'kept in the state directory' };
  }
  const agentId = deriveAgentId(options.machineId, realpathSync(options.stateDir));
  const reason =
    kept === null
      ? 'derived from the machine and the state directory'
      : `the state directory was copied from another machine (agent ${kept.agentId}); derived anew`;
  return { agentId, created: true, reason };
}

function keep({ stateDir, machineId }: IdentityOptions, { agentId }: Identity): void {
  const file = fileIn(stateDir);
  try {
    replaceFileDurably(file, `${JSON.stringify({ agentId, machineId })}\n`);
  } catch (cause) {
    const full = ['ENOSPC', 'EDQUOT'].includes((cause as NodeJS.ErrnoException).code ?? '');
    throw new RelightError(full ? 'disk-full' : 'config-invalid', `${file} cannot be written: ${errorMessage(cause)}`, {
      cause,
      advice: 'Free space, or give a --state-dir on a disk that is writable and not full.',
    });
  }
}

function deriveAgentId(machineId: MachineId, stateDir: string): string {
  const hex = createHash('sha256').update(`relight-agent|${machineId}|${stateDir}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}

/** Null: lost, or not a whole one; then the derived id takes its place, which is the same on an unmoved directory. */
function readIdentityFile(file: string): z.infer<typeof identityFileSchema> | null {
  try {
    return identityFileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError || error instanceof z.ZodError) return null;
    throw error;
  }
}
