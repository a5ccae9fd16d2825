/** How far the clock of a host is from its collector's, in the same words and with the same limits wherever it is said. Pure. */

/** In milliseconds. More than this is a trouble: what happened on two hosts no longer stands in its order. */
export const skewMsMax = 5_000;
/** In milliseconds. Below it is the way of the message. */
export const skewMsMin = 50;

/** `skewMs` above 0: the host is ahead. */
export const skewDirection = (skewMs: number): string => `${skewMs > 0 ? 'ahead of' : 'behind'} the collector's`;

/** For a person on the host. */
export const skewAdvice = 'Let it be set: timedatectl set-ntp true, or chronyd.';
