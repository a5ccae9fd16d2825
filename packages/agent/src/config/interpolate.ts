/** `${NAME}` in fields that no shell reads. `$$` is a plain `$`; any other `$` stands for itself. */
import { RelightError } from '@relight/shared/errors';

const pattern = /\$\$|\$\{([^}]*)\}|\$\{/g;
const nameForm = /^[A-Za-z_][A-Za-z0-9_]*$/;

export const isVariableName = (text: string): boolean => nameForm.test(text);

/** Every name that the template uses, and what is wrong with its form (null: nothing). */
export function templateNames(template: string): { readonly names: readonly string[]; readonly fault: string | null } {
  const names: string[] = [];
  for (const match of template.matchAll(pattern)) {
    if (match[0] === '$$') continue;
    const name = match[1];
    if (name === undefined) return { names, fault: 'has "${" without "}"' };
    if (!isVariableName(name)) return { names, fault: `has "\${${name}}"; only \${NAME} is understood (and $$ for a plain $)` };
    names.push(name);
  }
  return { names, fault: null };
}

/** Fails with variable-failed when the template names a variable that has no value. Values are never part of the message. */
export function interpolate(template: string, vars: Readonly<Record<string, string>>): string {
  return template.replaceAll(pattern, (whole, name: string | undefined) => {
    if (whole === '$$') return '$';
    const value = name !== undefined && Object.hasOwn(vars, name) ? vars[name] : undefined;
    if (value === undefined) throw new RelightError('variable-failed', `"${template}" names no variable that has a value: ${whole}`);
    return value;
  });
}
