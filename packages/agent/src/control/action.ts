/** Actions by hand, as they travel over the local socket. The same three that the collector may ask for (protocol.ts). */
import { actionSchema } from '@relight/shared/protocol';
import * as z from 'zod';

export const controlActionSchema = actionSchema
  .omit({ type: true, id: true })
  .strict()
  .refine((action) => action.level === undefined || action.action === 'restart', 'level belongs to restart')
  .refine((action) => action.forMs === undefined || action.action === 'pause', 'forMs belongs to pause');
/** `workload` absent: all of the host. `level` only with restart, `forMs` (milliseconds) only with pause. */
export type ControlAction = z.infer<typeof controlActionSchema>;

export const actionOutcomeSchema = z.object({
  ok: z.boolean(),
  /** What is happening now, or why not: for a person. */
  message: z.string(),
  code: z.string().optional(),
});
export type ActionOutcome = z.infer<typeof actionOutcomeSchema>;
