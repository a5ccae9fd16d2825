/**
 * AWS (IMDSv2): a token first, then `spot/instance-action` (two minutes before), `events/maintenance/scheduled` and
 * `events/recommendations/rebalance`. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
 */
import * as z from 'zod';
import { parseJson, timeOf, type AskMetadata } from './metadata.ts';
import type { CloudNotice } from './notice.ts';

const root = '/latest/meta-data';
const tokenSeconds = 300;

/** Null: the server does not answer. Without a spot notice the paths answer 404: that is "nothing". */
export async function awsNotices(ask: AskMetadata): Promise<readonly CloudNotice[] | null> {
  const token = await ask({
    path: '/latest/api/token',
    method: 'PUT',
    headers: { 'X-aws-ec2-metadata-token-ttl-seconds': String(tokenSeconds) },
  });
  // A token is one line of base64; a page of a proxy is not, and would be an invalid header.
  if (token === null || !/^[\w+/=-]{1,512}$/.test(token.trim())) return null;
  const headers = { 'X-aws-ec2-metadata-token': token.trim() };
  const get = async (path: string): Promise<unknown> => parseJson(await ask({ path: `${root}/${path}`, headers }));
  const [spot, scheduled, rebalance] = await Promise.all([
    get('spot/instance-action'),
    get('events/maintenance/scheduled'),
    get('events/recommendations/rebalance'),
  ]);
  return [...parseSpot(spot), ...parseScheduled(scheduled), ...parseRebalance(rebalance)];
}

/** Pure, as all below. `{"action": "terminate", "time": "2026-01-01T00:02:00Z"}` */
export function parseSpot(json: unknown): CloudNotice[] {
  const parsed = z.object({ action: z.string(), time: z.string() }).safeParse(json);
  if (!parsed.success) return [];
  return [{ kind: 'preemption', at: timeOf(parsed.data.time), text: `the spot instance: ${parsed.data.action} at ${parsed.data.time}` }];
}

const scheduledSchema = z.object({
  Code: z.string(),
  State: z.string(),
  NotBefore: z.string().optional(),
  Description: z.string().optional(),
});

/** `[{"Code": "system-reboot", "State": "active", "NotBefore": "21 Jan 2019 09:00:43 GMT", …}]` */
export function parseScheduled(json: unknown): CloudNotice[] {
  if (!Array.isArray(json)) return [];
  return json.flatMap((one): CloudNotice[] => {
    const parsed = scheduledSchema.safeParse(one);
    if (!parsed.success || parsed.data.State !== 'active') return [];
    const { Code, NotBefore, Description = '' } = parsed.data;
    const at = timeOf(NotBefore);
    // An event without a time is no emergency.
    if (at === null) return [];
    const kind = /reboot/.test(Code) ? 'reboot' : /retirement|stop/.test(Code) ? 'preemption' : 'maintenance';
    return [{ kind, at, text: `${Code}${Description === '' ? '' : ` (${Description})`}, not before ${NotBefore ?? ''}` }];
  });
}

/** `{"noticeTime": "2026-01-01T00:00:00Z"}`: a higher risk, nothing certain. */
export function parseRebalance(json: unknown): CloudNotice[] {
  const parsed = z.object({ noticeTime: z.string() }).safeParse(json);
  if (!parsed.success) return [];
  const text = `a rebalance recommendation of ${parsed.data.noticeTime}: the risk of an interruption is elevated`;
  return [{ kind: 'preemption', at: timeOf(parsed.data.noticeTime), text, uncertain: true }];
}
