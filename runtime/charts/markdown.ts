/** The diagrams of all charts for ARCHITECTURE.md, where they are between two markers. */
import type { CatalogueEntry } from './catalogue.js'
import { mermaidOf } from './mermaid.js'

export const chartsBegin = '<!-- charts: begin -->'
export const chartsEnd = '<!-- charts: end -->'

/** The text between the markers. */
export function chartsMarkdown(entries: readonly CatalogueEntry[]): string {
  const intro = [
    'Drawn from the machines by `engram machines export --format mermaid`. An edge says what',
    'triggers it, `[its guard]`, and, where its ends lie deeper, `(from)` and `to` what. "any" is',
    'each state of those around it. Transitions that keep their state are not drawn.',
  ].join('\n')
  const charts = entries.map(({ chart, about }) => [
    `<details><summary><code>${chart.id}</code>: ${about}</summary>`, '',
    '```mermaid', mermaidOf(chart), '```', '',
    '</details>',
  ].join('\n'))
  return [intro, ...charts].join('\n\n')
}

/**
 * The document with the text between its markers replaced.
 * @throws Error if a marker is missing or the order is wrong
 */
export function withCharts(document: string, charts: string): string {
  const begin = document.indexOf(chartsBegin)
  const end = document.indexOf(chartsEnd)
  if (begin === -1 || end < begin) {
    throw new Error(`the document needs a line ${chartsBegin} and, below it, ${chartsEnd}`)
  }
  return `${document.slice(0, begin)}${chartsBegin}\n\n${charts}\n\n${document.slice(end)}`
}
