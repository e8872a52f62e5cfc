/** The names in a PromQL expression: enough of the language for the rules and panels of deploy/. */

export interface Named {
  /** Metrics with the labels that their selectors, and whatever groups by them, name. */
  readonly metrics: readonly { readonly name: string; readonly labels: readonly string[] }[]
  /** The labels of `by`, `on`, `without`, `ignoring`, `group_left`. */
  readonly grouping: readonly string[]
}

const keywords = new Set(['by', 'on', 'without', 'ignoring', 'and', 'or', 'unless', 'offset',
  'bool', 'group_left', 'group_right'])
const functions = new Set(['rate', 'abs', 'increase', 'changes', 'sum', 'max', 'min', 'count',
  'avg', 'histogram_quantile', 'vector', 'label_values'])

/** @throws Error on a word that is neither a metric, a keyword nor a function. */
export function namedIn(expression: string): Named {
  const grouping: string[] = []
  const metrics: { name: string; labels: string[] }[] = []
  const left = expression
    .replace(/\b(by|on|without|ignoring|group_left)\s*\(([^)]*)\)/g,
      (_all, _word, list: string) => {
        grouping.push(...list.split(',').map((one) => one.trim()).filter(Boolean))
        return ' '
      })
    .replace(/\b(up|engram_\w+)\s*(?:\{([^}]*)\})?/g, (_all, name: string, matchers = '') => {
      const labels = [...String(matchers).matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"/g)]
      metrics.push({ name, labels: labels.map(([, label = '']) => label) })
      return ' '
    })
    .replace(/\[(\$__rate_interval|\d+[smh])\]/g, ' ')
    .replace(/\boffset \d+[smh]/g, ' ')
  for (const [word] of left.matchAll(/[A-Za-z_]\w*/g)) {
    if (!keywords.has(word) && !functions.has(word)) {
      throw new Error(`${word} in ${expression}: neither metric, keyword nor known function`)
    }
  }
  return { metrics, grouping }
}

/** `{{ $labels.space }}` and `{{space}}` of a template: the labels it shows. */
export function shownIn(template: string): string[] {
  return [...template.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*(?:\|[^}]*)?\}\}/g)]
    .map(([, label = '']) => label)
}
