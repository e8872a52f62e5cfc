/** engram machines list | export: prints the statecharts; needs no cluster. */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { CatalogueEntry } from '../charts/catalogue.js'
import { configOf } from '../charts/config.js'
import { flatten } from '../charts/chart.js'
import { mermaidOf } from '../charts/mermaid.js'
import { scxmlOf } from '../charts/scxml.js'
import { jsonOption, usage } from './context.js'
import type { Context } from './context.js'
import { table } from './text.js'

const formats = ['json', 'xstate', 'mermaid', 'scxml-like'] as const
type Format = (typeof formats)[number]

export function addMachines(program: Command, context: Context): void {
  const machines = program.command('machines').summary('print the statecharts of the actors')
    .description('Reads the charts from the code that runs. Needs no cluster.')
  machines.command('list').summary('list the charts')
    .description('Lists the charts, with what each one decides.')
    .addOption(jsonOption())
    .action(context.act((flags: { json?: boolean }) => list(context, flags)))
  machines.command('export').argument('[name...]', 'names of charts (default: all)')
    .summary('print charts as JSON, XState, Mermaid or SCXML')
    .description('Prints the charts with their nested and parallel states, guards, delays, '
      + 'invoked actors and final states.')
    .addOption(new Option('--format <format>', 'json; xstate (configurations for createMachine: a '
      + 'list, unless one chart is named); mermaid (stateDiagram-v2); or scxml-like (SCXML '
      + 'elements, with names of guards and actions)')
      .choices(formats).default('json'))
    .addHelpText('after', `
Examples:
  engram machines export promotion --format mermaid
  engram machines export primary --format xstate > primary.json
  engram machines export | jq '.machines[].id'`)
    .action(
      context.act((names: string[], flags: { format: Format }) =>
        write(context, names, flags.format)
      ),
    )
}

/** Loaded lazily, since no other client command needs the machines. */
async function loadCatalogue(): Promise<CatalogueEntry[]> {
  const { catalogue } = await import('../charts/catalogue.js')
  return catalogue()
}

async function list(context: Context, flags: { json?: boolean }): Promise<void> {
  const machines = (await loadCatalogue()).map(({ chart, about }) => {
    const states = flatten(chart.root).slice(1)
    return { id: chart.id, states: states.length, about }
  })
  if (flags.json) return context.printJson({ machines })
  context.print(
    table(['CHART', 'STATES', 'DECIDES'],
      machines.map(({ id, states, about }) => [id, String(states), about])),
  )
}

async function write(context: Context, names: readonly string[], format: Format): Promise<void> {
  const all = await loadCatalogue()
  const chosen = names.length === 0 ? all : names.map((name) => found(all, name))
  if (format === 'json') {
    const machines = chosen.map(({ chart, about }) => ({ id: chart.id, about, root: chart.root }))
    return context.printJson({ machines })
  }
  if (format === 'xstate') {
    const configs = chosen.map(({ machine }) => configOf(machine))
    return context.printJson(configs.length === 1 ? configs[0] : configs)
  }
  const one = format === 'mermaid' ? mermaidOf : scxmlOf
  const comment = format === 'mermaid'
    ? (text: string) => `%% ${text}`
    : (text: string) => `<!-- ${text} -->`
  // Each of several documents in one stream begins with a comment that names it.
  const texts = chosen.map(({ chart }) =>
    chosen.length === 1 ? one(chart) : `${comment(chart.id)}\n${one(chart)}`
  )
  context.print(texts.join('\n\n'))
}

function found(all: readonly CatalogueEntry[], name: string): CatalogueEntry {
  const entry = all.find(({ chart }) => chart.id === name)
  if (entry) return entry
  throw usage(`there is no chart ${name}`, `Charts: ${all.map((e) => e.chart.id).join(', ')}.`)
}
