/**
 * What the members of `control.group` are answered: what runs and why, and the three actions. What the configuration says is not theirs to
 * have taken up, nor the agent's log to read. The file belongs to root alone, and its values are not theirs to read either: what is wrong
 * in it quotes them (a token in the wrong line), so of a file that was refused they hear the places.
 */
import { RelightError } from '@relight/shared/errors';
import type { ReloadOutcome } from './reload.ts';
import type { ControlHandlers } from './server.ts';
import type { AgentStatus } from './status.ts';

const whyForRoot = 'why, only root may see: sudo relight-agent reload --dry-run';

export const forGroup = (handlers: ControlHandlers): ControlHandlers => ({
  ...handlers,
  status: () => statusWithoutValues(handlers.status()),
  reload: async (request) => {
    if (!request.dryRun) throw new RelightError('forbidden', 'only root may have the configuration read again');
    return outcomeWithoutValues(await handlers.reload(request));
  },
  recent() {
    throw new RelightError('forbidden', "only root may read the agent's events and log");
  },
});

function outcomeWithoutValues(outcome: ReloadOutcome): ReloadOutcome {
  if (outcome.result !== 'refused') return outcome;
  const { places = [] } = outcome;
  return { result: 'refused', places, lines: [...refusal(places), whyForRoot] };
}

/** A condition may be older than what is known of the file: it is kept from one life of the agent to the next. */
function statusWithoutValues(status: AgentStatus): AgentStatus {
  const { configuration } = status;
  const refused = configuration?.refused ?? null;
  const places = refused?.places ?? [];
  const reason = [...refusal(places), whyForRoot].join('\n');
  return {
    ...status,
    configuration:
      configuration === null || refused === null ? configuration : { ...configuration, refused: { at: refused.at, reason, places } },
    conditions: status.conditions.map((condition) =>
      condition.name === 'configuration-refused'
        ? { ...condition, reason: `the file cannot be used, the configuration before it goes on: ${reason.replaceAll('\n', '; ')}` }
        : condition,
    ),
  };
}

const refusal = (places: readonly string[]): readonly string[] =>
  places.length === 0 ? ['the file cannot be used'] : places.map((place) => `${place}: is not valid`);
