/** The pages that are made of the code, by their path. */
import { agentPage } from './agent-page.ts';
import { collectorPage } from './collector-page.ts';

export const pages = (): Readonly<Record<string, string>> => ({
  'docs/reference/agent-configuration.md': agentPage(),
  'docs/reference/collector-configuration.md': collectorPage(),
});
