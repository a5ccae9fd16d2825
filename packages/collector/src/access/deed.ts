/** What a call was about, for the audit log. */
export interface Deed {
  readonly action: string;
  readonly target: string | null;
  readonly detail?: Readonly<Record<string, unknown>>;
}
