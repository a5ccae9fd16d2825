/** docs/reference/api.md, out of the collector's own OpenAPI document. */
import { catalogue, type CatalogueEntry } from '@relight/shared/errors';
import { fieldRows, typeText, type Schema } from './schema-text.ts';
import { notice, table } from './table.ts';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly description: string;
  readonly schema: Schema;
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>;
interface Operation {
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const head = `# The collector's API

${notice("the collector's /api/v1/openapi.json")}

One port for everything (\`listen\`). \`Authorization: Bearer TOKEN\` with an operator's token, whose role each request names
([roles](../security.md#tokens)). The same as OpenAPI 3.1: \`GET /api/v1/openapi.json\`.

- Times are ISO-8601 UTC with milliseconds. \`since\` and \`until\` also take how long ago: \`10m\`.
- A list answers \`{items, next}\`. \`next\` is what \`after\` takes for the page behind it, or null at the end.
- A parameter that is a list is given several times: \`?host=a&host=b\`.
- What is not known yet is null; unknown parameters and fields of a body are refused.

\`\`\`
curl -H "Authorization: Bearer $RELIGHT_TOKEN" "$RELIGHT_URL/api/v1/events?severity=error&since=1h"
\`\`\`

Beside it, on the same port:

| path | needs | |
|---|---|---|
| \`GET /healthz\` | nothing | 200 as long as the process answers |
| \`GET /readyz\` | \`view\` | 200 when the store can be read and written, else 503 with the reason |
| \`GET /metrics\` | \`view\` | Prometheus, text format 0.0.4 |
| \`POST /agent/v1/join\`, \`POST /agent/v1/renew\` | a join token; an agent's token | how agents get and renew a token of their own |
| \`GET /agent/v1\` | an agent's token | WebSocket, subprotocol \`relight.v1\`: agents only |`;

export function apiPage({ paths, components }: OpenApi): string {
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => route(`${method.toUpperCase()} ${path}`, operation)),
  );
  const resources = Object.entries(components.schemas).map(([name, schema]) => resource(name, schema));
  return `${[head, '## Requests', ...routes, '## Resources', ...resources, errors()].join('\n\n')}\n`;
}

function route(title: string, { summary, description, parameters, requestBody, responses }: Operation): string {
  const given = parameters.map(({ name, in: place, required, schema, description: said }) => [
    `\`${name}\``,
    required ? `${place}, required` : place,
    typeText(schema),
    [said, schema.default === undefined ? '' : `Default: \`${JSON.stringify(schema.default)}\`.`].join(' '),
  ]);
  const body = requestBody?.content['application/json']?.schema;
  return [
    `### \`${title}\``,
    `${summary.replace(/\.?$/, '.')} ${description}`,
    ...(given.length === 0 ? [] : [table(['parameter', 'in', 'type', ''], given)]),
    ...(body === undefined ? [] : [table(['field of the body', 'type', '', ''], fieldRows(body))]),
    `Answers ${answer(responses)}, or a [problem](#errors).`,
  ].join('\n\n');
}

function answer(responses: Operation['responses']): string {
  const [status = '', { content = {} } = {}] = Object.entries(responses).find(([key]) => key !== 'default') ?? [];
  const [type, schema] = Object.entries(content).map(([name, { schema: of }]) => [name, of] as const)[0] ?? [];
  if (schema === undefined) return `${status} without a body`;
  const item = schema.properties?.['items']?.items;
  if (item !== undefined) return `${status} with a page of ${typeText(item)}`;
  if (schema.$ref !== undefined) return `${status} with ${typeText(schema)}${type === 'application/json' ? '' : ` each, as \`${type}\``}`;
  const fields = fieldRows(schema).map(([name = '', of = '']) => `${name} (${of})`);
  return `${status} with ${fields.length === 0 ? `\`${type}\`` : fields.join(', ')}`;
}

function resource(name: string, schema: Schema): string {
  const forms = schema.anyOf ?? [schema];
  const tables = forms.map((form) => table(['field', 'type', '', ''], fieldRows(form, true)));
  return [`### ${name}`, tables.join('\n\nor\n\n')].join('\n\n');
}

function errors(): string {
  const entries = Object.entries<CatalogueEntry>(catalogue).flatMap(([code, { title, advice, status }]) =>
    status === undefined ? [] : [{ code, title, advice, status }],
  );
  const rows = entries
    .toSorted((a, b) => a.status - b.status)
    .map(({ code, title, advice, status }) => [String(status), `\`${code}\``, title, advice]);
  return [
    '## Errors',
    'A failure is `application/problem+json` (RFC 9457): a [Problem](#problem), whose `code` is stable and whose `advice` says what to do next. 429 and 503 say in `Retry-After` when to come back.',
    table(['status', 'code', 'what it is', 'what to do'], rows),
  ].join('\n\n');
}
