/** Which metrics and labels an expression of PromQL asks for. A name that nobody has gives an empty answer there, not an error. */

/** Words that are no metric: operators, and modifiers with their labels cut out before. */
const keywords = new Set(['and', 'or', 'unless', 'bool', 'offset', 'atan2', 'inf', 'nan']);
const labelLists = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g;

interface Selector {
  readonly metric: string;
  /** Of its matchers. */
  readonly labels: readonly string[];
}

/** Every selector of it, in order. */
export function selectorsOf(expression: string): readonly Selector[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(labelLists, ' ');
  const words = bare.matchAll(/(?<![\w.:])([a-zA-Z_:][\w:]*)\s*(?:(\()|\{([^}]*)\})?/g);
  return [...words].flatMap(([, metric = '', call, matchers]) => {
    if (call !== undefined || keywords.has(metric.toLowerCase())) return [];
    return [{ metric, labels: [...(matchers ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label) }];
  });
}

/** Unique, sorted. */
export const metricNames = (expression: string): readonly string[] =>
  [...new Set(selectorsOf(expression).map(({ metric }) => metric))].toSorted();
