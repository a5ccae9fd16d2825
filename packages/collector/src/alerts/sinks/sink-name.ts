/** What a sink is called in events, logs, messages and the store: its address without what may be a secret of it. */

/** Tokens in paths (Slack, Discord, Telegram, PagerDuty) are longer; names of paths are shorter. */
const tokenLengthMin = 16;

/** Without user, password, query and fragment; a part of the path that is as long as a token is left out. */
export function sinkName(address: string): string {
  const url = new URL(address);
  const path = url.pathname.split('/').map((part) => (part.length < tokenLengthMin ? part : '…'));
  const shown = `${url.protocol}//${url.host}${path.join('/')}`;
  // As it is written in the configuration, where nothing had to be left out.
  return address === shown.replace(/\/$/, '') ? address : shown;
}
