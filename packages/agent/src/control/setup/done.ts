/** What `setup` has done so far, for a person who leaves in the middle of it. */
export class Done {
  readonly #file: string;
  #joining: string | null = null;
  #joined: string | null = null;
  #written = false;
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

  hasWritten(): void {
    this.#written = true;
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
    if (this.#written) return `${joined}${file} is written, the agent was not started. Look at it: relight-agent check --config ${file}`;
    if (joined !== '') return `${joined}${file} was not written, nor the agent started. Go on: relight-agent setup`;
    const asked =
      this.#joining === null ? '' : ` ${this.#joining} may have counted the join token as used; it says so: relight-collector token list`;
    return `Nothing was changed on this host.${asked}`;
  }
}
