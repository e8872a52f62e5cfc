/**
 * Reads an alert file of Prometheus that keeps to a plain form: one line for each value, two spaces
 * for each level. Any other line is an error, so nothing of the file goes unseen.
 */

export interface AlertRule {
  readonly alert: string
  expr: string
  for: string
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
}

const forms = {
  rule: /^ {6}- alert: (\w+)$/,
  value: /^ {8}(expr|for): (.+)$/,
  map: /^ {8}(labels|annotations):$/,
  entry: /^ {10}(\w+): (?:"([^"\\]*)"|([^"#:]+))$/,
}
const around = ['groups:', '  - name: engram', '    rules:']

/** @throws Error with the line that is not understood */
export function alertRules(text: string): AlertRule[] {
  const rules: AlertRule[] = []
  let into: Record<string, string> | null = null
  for (const [index, line] of text.trimEnd().split('\n').entries()) {
    const rule = rules.at(-1)
    const [, alert] = forms.rule.exec(line) ?? []
    const [, field, value = ''] = forms.value.exec(line) ?? []
    const [, map] = forms.map.exec(line) ?? []
    const [, name, quoted, plain] = forms.entry.exec(line) ?? []
    if (line.startsWith('#') || around.includes(line)) continue
    if (alert) rules.push({ alert, expr: '', for: '', labels: {}, annotations: {} })
    else if (rule && (field === 'expr' || field === 'for')) rule[field] = value
    else if (rule && (map === 'labels' || map === 'annotations')) into = rule[map]
    else if (into && name) into[name] = quoted ?? plain ?? ''
    else throw new Error(`line ${index + 1} is not understood: ${line}`)
  }
  return rules
}
