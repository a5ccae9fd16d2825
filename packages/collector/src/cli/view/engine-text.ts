/** What a host's container engine is like, in words. Pure. */
import type { ApiHost } from '@relight/shared/api';
import { elapsed } from './view-context.ts';

/** Of one that does not answer, with what to look at. */
export const engineText = ({ since }: NonNullable<ApiHost['engine']>, now: number): string =>
  `the container engine has not answered for ${elapsed(since, now)}: systemctl status docker`;
