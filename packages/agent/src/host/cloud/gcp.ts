/**
 * Google Cloud: `instance/preempted` (TRUE from about 30 s before), `instance/maintenance-event`, `instance/upcoming-maintenance`.
 * https://cloud.google.com/compute/docs/instances/create-use-preemptible and …/getting-live-migration-notice
 */
import * as z from 'zod';
import { parseJson, timeOf, type AskMetadata } from './metadata.ts';
import type { CloudNotice } from './notice.ts';

const headers = { 'Metadata-Flavor': 'Google' };
const root = '/computeMetadata/v1/instance';

/** Null: the server does not answer. */
export async function gcpNotices(ask: AskMetadata): Promise<readonly CloudNotice[] | null> {
  const get = (path: string): Promise<string | null> => ask({ path: `${root}/${path}`, headers });
  const [preempted, event, upcoming] = await Promise.all([
    get('preempted'),
    get('maintenance-event'),
    get('upcoming-maintenance?alt=json'),
  ]);
  if (preempted === null && event === null && upcoming === null) return null;
  return [...parsePreempted(preempted), ...parseMaintenanceEvent(event), ...parseUpcoming(parseJson(upcoming))];
}

const preempted: CloudNotice = { kind: 'preemption', at: null, graceMs: 30_000, text: 'the VM is preempted, about 30 s are left' };

/** Pure, as all below. An HTML page of some proxy is not TRUE. */
export function parsePreempted(text: string | null): CloudNotice[] {
  return text?.trim() === 'TRUE' ? [preempted] : [];
}

export function parseMaintenanceEvent(text: string | null): CloudNotice[] {
  switch (text?.trim() ?? '') {
    case 'MIGRATE_ON_HOST_MAINTENANCE':
      return [{ kind: 'freeze', at: null, text: 'a live migration, it pauses for a moment' }];
    case 'TERMINATE_ON_HOST_MAINTENANCE':
      return [{ kind: 'maintenance', at: null, text: 'host maintenance terminates the VM; it starts again afterwards if it is set to' }];
    default:
      return [];
  }
}

const upcomingSchema = z.object({
  type: z.string().optional(),
  maintenance_status: z.string().optional(),
  maintenanceStatus: z.string().optional(),
  window_start_time: z.string().optional(),
  windowStartTime: z.string().optional(),
});

/** In the API's spelling or in that of the metadata server. */
export function parseUpcoming(json: unknown): CloudNotice[] {
  const parsed = upcomingSchema.safeParse(json);
  if (!parsed.success) return [];
  const {
    type,
    maintenance_status,
    maintenanceStatus = maintenance_status,
    window_start_time,
    windowStartTime = window_start_time,
  } = parsed.data;
  const at = timeOf(windowStartTime);
  if (maintenanceStatus === 'ONGOING') return [{ kind: 'maintenance', at: null, text: `${type ?? 'maintenance'} is under way` }];
  if (at === null || maintenanceStatus !== 'PENDING') return [];
  return [{ kind: 'maintenance', at, text: `${type ?? 'maintenance'}, window from ${windowStartTime ?? ''}` }];
}
