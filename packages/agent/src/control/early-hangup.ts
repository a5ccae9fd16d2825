/**
 * SIGHUP ends a program that does not listen for it, and a service must not end because somebody asked it to read its configuration again.
 * Imported early, by main.ts: until the agent listens itself, it has its configuration still to read.
 */
if (process.argv[2] === 'run') process.on('SIGHUP', () => {});
