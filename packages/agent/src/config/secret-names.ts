/**
 * Nobody said which variables of an environment are secret: by their names these are. It costs nothing to hide an honest value of such
 * a variable, and much to show the other kind.
 */
const secretName = /(TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_KEY|ACCESS_KEY)/i;

export const isSecretName = (name: string): boolean => secretName.test(name);

/** Values of those variables that are secret by their names. */
export const namedSecrets = (variables: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(variables).flatMap(([name, value]) => (isSecretName(name) ? [value] : []));
