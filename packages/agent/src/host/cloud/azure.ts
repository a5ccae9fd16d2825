/**
 * Azure: `metadata/scheduledevents`, which lists the events of all machines of the scale or availability set: only those whose
 * `Resources` name this one count. https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
 */
import * as z from 'zod';
import { parseJson, timeOf, type AskMetadata } from './metadata.ts';
import type { CloudNotice } from './notice.ts';

const headers = { Metadata: 'true' };

/** Null: the server does not answer, or does not say who we are. */
export async function azureNotices(ask: AskMetadata): Promise<readonly CloudNotice[] | null> {
  const [name, events] = await Promise.all([
    ask({ path: '/metadata/instance/compute/name?api-version=2021-02-01&format=text', headers }),
    ask({ path: '/metadata/scheduledevents?api-version=2020-07-01', headers }),
  ]);
  if (name === null || events === null) return null;
  return parseScheduledEvents(parseJson(events), name.trim());
}

const eventSchema = z.object({
  EventType: z.string(),
  EventStatus: z.string().optional(),
  Resources: z.array(z.string()),
  NotBefore: z.string().optional(),
  Description: z.string().optional(),
  DurationInSeconds: z.number().optional(),
});

const kinds: Readonly<Record<string, CloudNotice['kind']>> = {
  Preempt: 'preemption',
  Terminate: 'preemption',
  Reboot: 'reboot',
  Redeploy: 'maintenance',
  Freeze: 'freeze',
};

/** Pure. `NotBefore` is empty once an event has started. */
export function parseScheduledEvents(json: unknown, name: string): CloudNotice[] {
  const parsed = z.object({ Events: z.array(z.unknown()) }).safeParse(json);
  if (!parsed.success) return [];
  return parsed.data.Events.flatMap((one): CloudNotice[] => {
    const event = eventSchema.safeParse(one);
    if (!event.success) return [];
    const { EventType, EventStatus, Resources, NotBefore, Description = '' } = event.data;
    const kind = kinds[EventType];
    if (kind === undefined || EventStatus === 'Completed' || !Resources.includes(name)) return [];
    const text = `${EventType}${Description === '' ? '' : ` (${Description})`}${NotBefore === undefined || NotBefore === '' ? '' : `, not before ${NotBefore}`}`;
    return [{ kind, at: timeOf(NotBefore), text }];
  });
}
