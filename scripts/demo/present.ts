/** How the demo looks: calm, 80 to 120 columns, colour only on a terminal. */
import { cut, table } from '@relight/collector/cli/view/table';
import { sanitize } from '@relight/collector/cli/view/sanitize';
import type { ApiEvent } from '@relight/shared/api';
import { displayWidth } from '@relight/shared/text-columns';
import { formatDurationMs } from '@relight/shared/units';
import { styleText } from 'node:util';
import type { SceneResult } from './scene.ts';

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow' | 'cyan';

export class Presenter {
  readonly #began = Date.now();
  readonly #terminal = process.stdout.isTTY;

  get color(): boolean {
    return this.#terminal && (process.env['NO_COLOR'] ?? '') === '';
  }

  get #columns(): number {
    return this.#terminal ? Math.max(80, Math.min(120, process.stdout.columns)) : 120;
  }

  title(text: string): void {
    this.#line('');
    this.#line(this.#paint('bold', text));
    this.#line(this.#paint('dim', '─'.repeat(displayWidth(text))));
  }

  /** One step of the preparation, with the time since the demo began. */
  step(text: string): void {
    this.#line(`${this.#paint('dim', this.#since(Date.now()))}  ${text}`);
  }

  scene(number: number, title: string, explanation: string): void {
    this.#line('');
    this.#line(`${this.#paint('bold', `${number}  ${title}`)}  ${this.#paint('dim', clock(Date.now()))}`);
    this.#line(`   ${this.#paint('dim', cut(explanation, this.#columns - 3))}`);
  }

  /** Something that the demo does or finds, `t0` being the moment of the fault. A narrow terminal does without the time of day. */
  moment(t0: number, at: number, what: string, text: string, style: Style = 'cyan'): void {
    const time = this.#columns < 100 ? '' : `${clock(at)} `;
    const offset = `   ${time}${`+${Math.max(0, Math.round(at - t0))} ms`.padStart(9)}`;
    const kind = what.padEnd(18);
    const shown = cut(text, this.#columns - displayWidth(`${offset}  ${kind}  `));
    this.#line(`${this.#paint('dim', offset)}  ${this.#paint(style, kind)}  ${shown}`);
  }

  event(t0: number, event: ApiEvent): void {
    const style = event.kind === 'workload.ready' ? 'green' : event.severity === 'info' ? 'dim' : 'yellow';
    this.moment(t0, Date.parse(event.at), event.kind, sanitize(event.message), style);
  }

  result(result: SceneResult): void {
    const stages = result.stages.map(({ stage, ms }) => `${stage} ${formatDurationMs(ms)}`).join(', ');
    this.#wrapped('reason', result.reason);
    if (stages !== '') this.#wrapped('stages', stages);
    for (const note of result.notes) this.#wrapped('checked', note);
    const ready = result.readyMs === null ? '' : ` after ${formatDurationMs(result.readyMs)}`;
    this.#line(`   ${this.#paint('bold', 'verdict'.padEnd(9))}${this.#paint(result.ok ? 'green' : 'red', `${result.verdict}${ready}`)}`);
  }

  summary(results: readonly SceneResult[]): void {
    this.title('Summary');
    const ms = (value: number | null): string => (value === null ? '-' : formatDurationMs(value));
    const lines = table({
      headers: ['SCENE', 'DETECTED', 'READY AGAIN', 'VERDICT', 'REASON'],
      paintHeader: (text) => this.#paint('dim', text),
      columns: this.#columns,
      rows: results.map((result) => [
        { text: result.title },
        { text: ms(result.detectedMs) },
        { text: ms(result.readyMs) },
        { text: result.ok ? result.verdict : 'FAILED', paint: (text) => this.#paint(result.ok ? 'green' : 'red', text) },
        { text: result.reason },
      ]),
    });
    for (const line of lines) this.#line(line);
  }

  /** Text that has its own form: output of commands, JSON. */
  block(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#line(`   ${line}`);
  }

  say(text: string): void {
    this.#line(text);
  }

  error(text: string): void {
    process.stderr.write(`${this.#paint('red', text)}\n`);
  }

  #wrapped(name: string, text: string): void {
    const width = this.#columns - 12;
    let line = '';
    let head = name;
    const flush = (): void => {
      this.#line(`   ${this.#paint('bold', head.padEnd(9))}${line}`);
      head = '';
    };
    for (const word of text.split(' ')) {
      if (line !== '' && displayWidth(`${line} ${word}`) > width) {
        flush();
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    flush();
  }

  #since(at: number): string {
    return formatDurationMs(at - this.#began).padStart(9);
  }

  #line(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  #paint(style: Style, text: string): string {
    return this.color ? styleText(style, text, { validateStream: false }) : text;
  }
}

function clock(at: number): string {
  const date = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
