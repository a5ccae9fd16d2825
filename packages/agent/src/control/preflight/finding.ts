/** What a preflight check found: one thing, and what a person does about it. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  readonly what: string;
  /** Empty for `ok`. */
  readonly fix: string;
}

export const ok = (what: string): Finding => ({ level: 'ok', what, fix: '' });
export const warning = (what: string, fix: string): Finding => ({ level: 'warning', what, fix });
export const error = (what: string, fix: string): Finding => ({ level: 'error', what, fix });
