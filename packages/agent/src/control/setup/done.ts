/** What `setup` has done so far, for a person who leaves in the middle of it. */
export class Done {
  readonly #file: string;
  #joining: string | null = null;
  #joined: string | null = null;
  #written: { readonly isLive: boolean } | null = null;
  #starting = false;

  constructor(file: string) {
    this.#file = file;
  }

  /** A collector is asked: what becomes of the join token there is not known before it answers. */
  joins(url: string): void {
    this.#joining = url;
  }

  hasJoined(): void {
    this.#joined = this.#joining;
  }

  /** `isLive`: an agent, or a service that waits for the file, takes it up by itself. */
  hasWritten(isLive: boolean): void {
    this.#written = { isLive };
  }

  starts(): void {
    this.#starting = true;
  }

  /** What is so now, and what to do next. */
  text(): string {
    return `relight-agent: left before the end. ${this.#state()}`;
  }

  #state(): string {
    const file = this.#file;
    const joined = this.#joined === null ? '' : `This host has joined ${this.#joined}. `;
    if (this.#starting) return `${joined}${file} is written. Whether the agent has started says: systemctl status relight-agent`;
    if (this.#written?.isLive === true)
      return `${joined}${file} is written, and the agent takes it up by itself. See what it makes of it: relight-agent status`;
    if (this.#written !== null)
      return `${joined}${file} is written; no agent was started. Look at it: relight-agent check --config ${file}`;
    if (joined !== '') return `${joined}${file} was not written, nor the agent started. Go on: relight-agent setup`;
    const asked =
      this.#joining === null ? '' : ` ${this.#joining} may have counted the join token as used; it says so: relight-collector token list`;
    return `Nothing was changed on this host.${asked}`;
  }
}
