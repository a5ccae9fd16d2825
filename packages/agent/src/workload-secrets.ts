/**
 * What must not leave the host of each workload: those of the configuration, and those that it had and has no more, whose lines may
 * still wait to be sent and whose containers may still be there.
 */
import { SecretValues } from './config/secret-values.ts';
import { namedSecrets } from './config/secret-names.ts';
import type { ContainerSpec, VarSpec, WorkloadSpec } from './config/spec.ts';
import { probableSecrets } from './engine/adoption.ts';
import { readAdoption } from './engine/adoptions.ts';
import { WorkloadStore, type SavedConfiguration } from './workload-store.ts';

/** By workload. */
export type Secrets = Map<string, SecretValues>;

interface SecretsOptions {
  readonly vars: readonly VarSpec[];
  readonly workloads: readonly WorkloadSpec[];
  readonly stateDir: string;
  /** Learns all of them. */
  readonly host: SecretValues;
  /** Of a workload that was removed: what is remembered of it cannot be used. */
  readonly onTrouble: (error: unknown) => void;
}

export function workloadSecrets({ vars, workloads, stateDir, host, onTrouble }: SecretsOptions): Secrets {
  const secrets = new Map(workloads.map((spec) => [spec.name, secretsOf(spec, vars, host)]));
  const store = new WorkloadStore(stateDir);
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      onTrouble(error);
    }
  };
  attempt(() => {
    const removed = store.names().filter((name) => !secrets.has(name));
    for (const name of removed) {
      attempt(() => {
        const saved = store.load(name);
        if (saved !== null) secrets.set(name, secretsOfRemoved(saved, stateDir, host));
      });
    }
  });
  return secrets;
}

/** What its configuration tells; what its files say is loaded later. */
export function secretsOf({ container, logs }: WorkloadSpec, vars: readonly VarSpec[], host: SecretValues): SecretValues {
  const secrets = new SecretValues(container.envFile, host, logs.redact);
  secrets.learn(configuredSecrets(container, vars));
  return secrets;
}

/** Of its environment, the options of its log driver (`splunk-token`) and the literal variables, those that are secret by their names. */
export const configuredSecrets = (container: ContainerSpec, vars: readonly VarSpec[]): readonly string[] => [
  ...namedSecrets(container.environment),
  ...namedSecrets(container.logging?.options ?? {}),
  ...secretVars(vars),
];

/** Of the literal variables, which commands of the host are given as well. */
export const secretVars = (vars: readonly VarSpec[]): readonly string[] =>
  namedSecrets(Object.fromEntries(vars.flatMap((spec) => ('value' in spec ? [[spec.name, spec.value] as const] : []))));

function secretsOfRemoved({ spec, vars = [] }: SavedConfiguration, stateDir: string, host: SecretValues): SecretValues {
  const secrets = secretsOf(spec, vars, host);
  const { adopt } = spec.container;
  const adoption = adopt === undefined ? null : readAdoption(stateDir, spec.name, adopt);
  if (adoption !== null) secrets.learn(probableSecrets(adoption.document));
  return secrets;
}
