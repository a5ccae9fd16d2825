/** A request to read the configuration again, as it travels over the local socket. */
import * as z from 'zod';

export const reloadRequestSchema = z.strictObject({
  /** Only say what it would do. */
  dryRun: z.boolean(),
});
export type ReloadRequest = z.infer<typeof reloadRequestSchema>;

export const reloadOutcomeSchema = z.object({
  result: z.enum(['applied', 'unchanged', 'refused', 'would-apply']),
  /** What changes, or why it was refused: for a person. */
  lines: z.array(z.string()),
  /** Of a file that is not valid: where, without what stands there. */
  places: z.array(z.string()).readonly().optional(),
});
export type ReloadOutcome = z.infer<typeof reloadOutcomeSchema>;
