import { systemClock, type Clock } from '@relight/shared/clock';

/** The machine's own, by which a child is never late: what is a deadline there may be shorter than a busy machine takes to start one. */
export const patientClock: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms < 100 ? ms : 60 * ms, fn) };
