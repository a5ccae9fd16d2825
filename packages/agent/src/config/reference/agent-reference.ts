/** Every section of the agent's configuration, in the order of the page. */
import { checkSections } from './check-sections.ts';
import { containerSections } from './container-sections.ts';
import { hostSections } from './host-sections.ts';
import type { SectionReference } from './reference.ts';
import { restartSections } from './restart-sections.ts';
import { workloadSections } from './workload-sections.ts';

export const agentReference: readonly SectionReference[] = [
  ...hostSections,
  ...workloadSections,
  ...containerSections,
  ...checkSections,
  ...restartSections,
];
