/** What a sink is called in events, logs, messages and the store: its address without what may be a secret of it. */

/** Tokens in paths (Slack, Discord, Telegram, PagerDuty) are longer; names of paths are shorter. */
const tokenLengthMin = 16;
/** A part that was left out before, as an address writes it. */
const leftOut = encodeURIComponent('…');

/** Without user, password, query and fragment; a part of the path that is as long as a token is left out. */
export function sinkName(address: string): string {
  const url = new URL(address);
  const path = url.pathname.split('/').map((part) => (part.length < tokenLengthMin && part !== leftOut ? part : '…'));
  const shown = `${url.protocol}//${url.host}${path.join('/')}`;
  // As it is written in the configuration, where nothing had to be left out.
  return address === shown.replace(/\/$/, '') ? address : shown;
}

/** The names of the sinks at these addresses, in their order. Two sinks of one name would empty one queue. */
export const sinkNames = (addresses: readonly string[]): string[] => numbered(addresses.map(sinkName));

/** What the queues of these sinks were called by versions that left out nothing but the query. */
export const formerSinkNames = (addresses: readonly string[]): string[] => numbered(addresses.map((url) => url.replace(/\?.*$/s, '')));

function numbered(names: readonly string[]): string[] {
  return names.map((name, index) => {
    const before = names.slice(0, index).filter((other) => other === name).length;
    return before === 0 ? name : `${name} #${before + 1}`;
  });
}

/** How the sink of a queue may be shown that is configured no more: its name may be a former one. */
export function shownSinkName(stored: string): string {
  const [, address = stored, number = ''] = /^(.*?)( #\d+)?$/s.exec(stored) ?? [];
  return URL.canParse(address) ? sinkName(address) + number : stored;
}
