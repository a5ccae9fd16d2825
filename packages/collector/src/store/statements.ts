/** Filters become SQL text; each distinct text is prepared once. */
import type { Database, Statement } from 'better-sqlite3';

export class Statements {
  readonly #db: Database;
  readonly #prepared = new Map<string, Statement>();

  constructor(db: Database) {
    this.#db = db;
  }

  all<Row>(sql: string, parameters: readonly unknown[]): Row[] {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#prepared.set(sql, statement);
    }
    return statement.all(...parameters) as Row[];
  }
}

/** Conditions joined by AND, with their parameters. */
export class Where {
  readonly #conditions: string[] = [];
  readonly parameters: unknown[] = [];

  /** Adds `condition` with its one parameter unless the value is undefined. */
  add(condition: string, value: unknown): this {
    if (value === undefined) return this;
    this.#conditions.push(condition);
    this.parameters.push(value);
    return this;
  }

  /** `column` is one of `values`; undefined: no condition. The list travels as one JSON parameter, so the SQL stays the same. */
  oneOf(column: string, values: readonly unknown[] | undefined): this {
    if (values?.length === 1) return this.add(`${column} = ?`, values[0]);
    return this.add(`${column} IN (SELECT value FROM json_each(?))`, values === undefined ? undefined : JSON.stringify(values));
  }

  /** Adds a row of `table` for which `condition` and all conditions of `of` hold. For each row that is looked at, it is looked for anew. */
  exists(table: string, condition: string, of: Where): this {
    this.#conditions.push(`EXISTS (SELECT 1 FROM ${table} WHERE ${[condition, ...of.#conditions].join(' AND ')})`);
    this.parameters.push(...of.parameters);
    return this;
  }

  get sql(): string {
    return this.#conditions.length === 0 ? '' : `WHERE ${this.#conditions.join(' AND ')}`;
  }
}
