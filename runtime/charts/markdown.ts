/** The charts as the pages of docs/statecharts: one each, and an index. */
import type { CatalogueEntry } from './catalogue.js'
import { mermaidOf } from './mermaid.js'

const index = 'README.md'

/** Texts of the pages by file name. */
export function chartPages(entries: readonly CatalogueEntry[]): Map<string, string> {
  return new Map([
    [index, indexOf(entries)],
    ...entries.map((entry) => [`${entry.chart.id}.md`, pageOf(entry)] as const),
  ])
}

function indexOf(entries: readonly CatalogueEntry[]): string {
  return lines(
    '# Statecharts',
    '',
    'Generated from the machines in [machines/](../../machines). The same diagrams are printed',
    'by `engram machines export --format mermaid`. After a change of a chart,',
    '`UPDATE_GOLDEN=1 node dist/test/run.js runtime/charts` writes these pages.',
    '',
    'An edge names its trigger and `[its guard]`. Where an end is deeper than the box it touches,',
    '`(from)` and `to` name it. "any" is every state of the box around it. Transitions that keep',
    'their state are not drawn.',
    '',
    '| chart | |',
    '|---|---|',
    ...entries.map(({ chart, about }) => `| [${chart.id}](${chart.id}.md) | ${about} |`),
  )
}

function pageOf({ chart, about }: CatalogueEntry): string {
  return lines(
    `# ${chart.id}`,
    '',
    `${about[0]?.toUpperCase() ?? ''}${about.slice(1)}. Source:`,
    `[machines/${chart.id}.ts](../../machines/${chart.id}.ts); how to read the diagram:`,
    `[index](${index}).`,
    '',
    '```mermaid',
    mermaidOf(chart),
    '```',
  )
}

function lines(...parts: readonly string[]): string {
  return `${parts.join('\n')}\n`
}
