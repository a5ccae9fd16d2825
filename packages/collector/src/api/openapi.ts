/** OpenAPI 3.1 out of the schemas that validate the requests. */
import * as z from 'zod';
import { problemSchema } from './resources.ts';
import type { RouteInfo } from './route.ts';
import type { Fields } from './validate.ts';

type Json = Record<string, unknown>;

/** `input`: what a client writes; named schemas become references into components. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Json): Json {
  const {
    $schema: _,
    $defs = {},
    ...rest
  } = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' }) as Json & { $defs?: Json };
  Object.assign(components, moveReferences($defs));
  return moveReferences(rest) as Json;
}

function moveReferences(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'));
}

function parameters(fields: Fields, place: 'path' | 'query', components: Json): Json[] {
  return Object.entries(fields.shape).map(([name, field]) => {
    const { description, ...schema } = schemaOf(field, 'input', components);
    const required = place === 'path' || !field.safeParse(undefined).success;
    return { name, in: place, required, description: description ?? '', schema };
  });
}

export function openapi(routes: readonly RouteInfo[], version: string): Json {
  const components: Json = {};
  const failure = {
    description: 'A problem',
    content: { 'application/problem+json': { schema: schemaOf(problemSchema, 'output', components) } },
  };
  const paths: Record<string, Json> = {};
  for (const { method, path, summary, role, params, query, body, answers } of routes) {
    const { status, type = 'application/json', schema } = answers;
    const content = schema === undefined ? {} : { content: { [type]: { schema: schemaOf(schema, 'output', components) } } };
    const key = `/api/v1${path.replaceAll(/:(\w+)/g, '{$1}')}`;
    (paths[key] ??= {})[method.toLowerCase()] = {
      summary,
      description: `Needs the role ${role}.`,
      operationId: `${method.toLowerCase()}${path.replaceAll(/[/:-]+(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
      parameters: [...parameters(params, 'path', components), ...parameters(query, 'query', components)],
      ...(body === null
        ? {}
        : { requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input', components) } } } }),
      responses: { [status]: { description: summary, ...content }, default: failure },
    };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Relight collector', version, description: 'Times are ISO-8601 UTC with milliseconds. Errors are RFC 9457 problems.' },
    security: [{ token: [] }],
    paths,
    components: { schemas: components, securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  };
}
