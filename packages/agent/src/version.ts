/** The agent's version, as hello, status and --version give it. */
export { version as agentVersion } from '@relight/shared/version';
