/** The state of all rules after a restart of the collector, from what is stored: alerts, and the restarts since. Pure. */
import type { AlertRecord } from '../store/store.ts';
import { alertKey } from './condition.ts';
import type { AlertsConfig } from '../config.ts';
import type { AlertsState } from './evaluate.ts';
import { gatheredOf } from './gathering.ts';
import { countRestarts, resetTrack, type RestartFact, type RestartTrack } from './repeated-restarts.ts';
import { takeFalls, type Fall } from './slice-falls.ts';

/**
 * `alerts`: everything that fires, and what was resolved recently, in any order. `restarts`: the facts of at least the longest
 * window, in the order of their events; `falls`: of incidents that are open, or were closed recently, oldest first. A track that is stored with an alert knows up to which event it has counted.
 */
export function restore(
  alerts: readonly AlertRecord[],
  restarts: readonly RestartFact[],
  falls: readonly Fall[],
  config: AlertsConfig['repeatedRestarts'],
): AlertsState {
  const firing = new Map<string, AlertRecord>();
  const ended = new Map<string, AlertRecord>();
  const tracks = new Map<string, RestartTrack>();
  for (const alert of alerts) {
    const key = alertKey(alert);
    if (alert.state === 'firing') firing.set(key, alert);
    else if (gatheredOf(alert).since !== null) ended.set(key, alert);
    const stored = alert.data['track'] as RestartTrack | undefined;
    if (stored === undefined) continue;
    const track = alert.state === 'firing' ? stored : resetTrack(stored);
    if (track.eventId > (tracks.get(key)?.eventId ?? -1) || alert.state === 'firing') tracks.set(key, track);
  }
  return { tracks: countRestarts(tracks, restarts, firing, config), falls: takeFalls(new Map(), falls), firing, ended };
}
