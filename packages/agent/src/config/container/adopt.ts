/** `container: {adopt: NAME}`: everything about the container comes from the one that is there. */
import { object, type Reader } from '../fields.ts';
import { choice, name } from '../scalars.ts';
import type { ContainerSpec } from '../spec.ts';
import { blankContainer } from './blank.ts';

const allowed: ReadonlySet<string> = new Set(['adopt', 'pull_policy']);

export const adoptedContainer: Reader<ContainerSpec> = object((fields) => {
  const adopt = fields.required('adopt', name);
  const pullPolicy = fields.optional('pull_policy', choice('always', 'missing', 'never'), 'missing' as const);
  const others = fields.node.entries.map(({ key }) => key).filter((key) => !allowed.has(key));
  const why =
    'comes from the adopted container; remove it here, or write the whole section without adopt: (relight-agent import container)';
  fields.refuse(Object.fromEntries(others.map((key) => [key, why])));
  // Until it was seen: its image is known then, and it is made again from the engine's own description.
  return () => ({ ...blankContainer, image: '', name: adopt, adopt, pullPolicy });
});
