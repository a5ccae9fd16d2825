/** The agent's version, as hello, status and --version give it. The test beside it holds it to package.json. */
export const agentVersion = '0.1.0';
