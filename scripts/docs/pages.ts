/** The pages that are made of the code, by their path. */
import { agentPage } from './agent-page.ts';
import { apiPage } from './api-page.ts';
import { collectorPage } from './collector-page.ts';
import { openApi } from './openapi.ts';

export const pages = async (): Promise<Readonly<Record<string, string>>> => ({
  'docs/reference/agent-configuration.md': agentPage(),
  'docs/reference/collector-configuration.md': collectorPage(),
  'docs/reference/api.md': apiPage(await openApi()),
});
