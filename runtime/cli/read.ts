/** engram read get | edges | list | entries | history */
import { Option } from 'commander'
import type { Command } from 'commander'
import type { HistoryValue, Query, ReadAnswer } from '../../actors/ports/clientApi.js'
import type { EdgeDirection } from '../../actors/ports/store.js'
import type { MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { AllEntries, ListQuery } from '../client/pages.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, durationOption, exit, jsonOption, usage, whole } from './context.js'
import type { Action, Context } from './context.js'
import { checkSpaceName } from './space.js'
import { table } from './text.js'

interface ReadFlags extends ConnectionFlags {
  readonly any?: boolean
  readonly committed?: boolean
  readonly minSequence?: number
  readonly maxStaleness?: number
  readonly direction: EdgeDirection
  readonly after: string
  readonly from?: number
  readonly limit?: number
  readonly deadline: number
  readonly json?: boolean
}

const listLimit = 100

export function addRead(program: Command, context: Context): void {
  connectionOptions(program.command('read').argument('<space>')
    .argument('<what>', 'get, edges, list, entries or history')
    .argument('[id]', 'id of a memory node, for get and edges'))
    .summary('read nodes, edges and log entries')
    .description('Reads the latest state from the primary, or with --any the committed state from '
      + 'any member.')
    .option('--any', 'read from any member')
    .option('--committed', 'committed state only, from the primary')
    .option('--min-sequence <n>', 'with --any: state at this sequence or later',
      whole(0, Number.MAX_SAFE_INTEGER))
    .addOption(
      durationOption('--max-staleness <duration>', 'with --any: state not older than this'),
    )
    .addOption(new Option('--direction <d>', 'direction of edges').choices(['out', 'in', 'both'])
      .default('out'))
    .option('--after <place>', 'list: nodes after this id; edges, history: continue after this '
      + 'position of the previous answer', '')
    .option('--from <n>', 'entries: from this sequence on (default: the first one that is kept)',
      whole(1, Number.MAX_SAFE_INTEGER))
    .option('--limit <n>',
      `number of items at most (default: list and entries ${listLimit}, edges all)`,
      whole(1, 100_000))
    .addOption(
      durationOption('--deadline <duration>', 'for each page, over all attempts', 10_000),
    )
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram read demo get n1              # exits 1 if the node does not exist
  engram read demo edges n1 --direction both
  engram read demo list --after n1 --limit 20
  engram read demo entries --from 40
  engram read demo get n1 --any --min-sequence 42 --json`)
    .action(
      context.act((space: string, what: string, id: string | undefined, flags: ReadFlags) =>
        read(context, space, what, id, flags)
      ),
    )
}

async function read(
  context: Context,
  space: string,
  what: string,
  id: string | undefined,
  flags: ReadFlags,
): Promise<Action> {
  checkSpaceName(space)
  checkFlags(what, id, flags)
  const query = queryOf(what, id, flags)
  const options = {
    from: flags.any ? 'any' : 'primary',
    committed: flags.committed,
    minSequence: flags.minSequence,
    maxStalenessMs: flags.maxStaleness,
    deadlineMs: flags.deadline,
  } as const
  const answer = await context.withClient(flags, (client): Promise<ReadAnswer> =>
    isList(query)
      ? allPages(client.pages(space, query, options))
      : client.read(space, query, options), 'reader')
  noteFirst(context, query, answer)
  if (flags.json) context.printJson(answer)
  const missing = answer.value === null || answer.value === undefined
  if (!flags.json && missing) context.note(`no node ${id ?? ''} in ${space}`)
  else if (!flags.json) context.print(show(query, answer.value))
  const age = answer.role === 'primary' ? '' : `, ${answer.stalenessMs} ms behind`
  if (!flags.json) {
    context.note(`as of sequence ${answer.sequence}, epoch ${answer.epoch}, `
      + `by ${answer.role} ${answer.node}${age}`)
    if (answer.more) context.note(`more items exist; continue with ${goingOn(query, answer)}`)
  }
  return missing ? exit.failed : exit.ok
}

/** Refuses flags and ids that would be ignored. */
function checkFlags(what: string, id: string | undefined, flags: ReadFlags): void {
  for (const flag of ['minSequence', 'maxStaleness'] as const) {
    if (flags[flag] === undefined || flags.any) continue
    const shown = flag === 'minSequence' ? '--min-sequence' : '--max-staleness'
    throw usage(`${shown} applies only to reads from any member`,
      `Add --any, or leave ${shown} out.`)
  }
  if (id === undefined || !['list', 'entries', 'history'].includes(what)) return
  throw usage(`read ${what} takes no id`, what === 'list'
    ? `To list nodes after it: --after ${id}`
    : 'To read one node: engram read SPACE get ID')
}

/** Says where the entries begin if earlier ones were given up: nothing else would show it. */
function noteFirst(context: Context, query: ReadQuery, { value, sequence }: ReadAnswer): void {
  if (query.type !== 'GetEntries' || query.from !== 'first') return
  const [entry] = value as readonly LogEntry[]
  const first = entry?.sequence ?? sequence + 1
  if (first > 1) context.note(`entries from ${first} on: earlier ones are no longer kept`)
}

function isList(query: ReadQuery): query is Extract<ReadQuery, ListQuery | AllEntries> {
  return query.type !== 'GetNode' && query.type !== 'GetHistory'
}

/** One answer made of all pages. Its other fields are those of the last page. */
async function allPages(pages: AsyncIterable<ReadAnswer>): Promise<ReadAnswer> {
  const value: unknown[] = []
  let last: ReadAnswer | undefined
  for await (const page of pages) {
    value.push(...page.value as readonly unknown[])
    last = page
  }
  // A list has at least one page.
  return { ...last!, value }
}

function goingOn(query: ReadQuery, { after }: ReadAnswer): string {
  if (query.type === 'GetEntries') return `--from ${Number(after) + 1}`
  return /^[\w.:-]+$/.test(String(after))
    ? `--after ${after}`
    : `--after '${String(after).replaceAll('\'', String.raw`'\''`)}'`
}

/** Queries of this command. Forks and fates have their own commands. */
type ReadQuery = Exclude<Query, { type: 'GetForks' | 'GetQuarantine' | 'GetFate' }> | AllEntries

function queryOf(what: string, id: string | undefined, flags: ReadFlags): ReadQuery {
  const named = (): string => {
    if (id) return id
    throw usage(`read ${what} needs the id of a node`, `For example: engram read demo ${what} n1`)
  }
  switch (what) {
    case 'get':
      return { type: 'GetNode', nodeId: named() }
    case 'edges':
      return {
        type: 'GetEdges',
        nodeId: named(),
        direction: flags.direction,
        ...(flags.limit && { limit: flags.limit }),
        ...(flags.after && { after: flags.after }),
      }
    case 'list':
      return { type: 'ListNodes', after: flags.after, limit: flags.limit ?? listLimit }
    case 'entries':
      return { type: 'GetEntries', from: flags.from ?? 'first', limit: flags.limit ?? listLimit }
    case 'history':
      return { type: 'GetHistory', ...(flags.after && { after: Number(flags.after) }) }
    default:
      throw usage(`unknown kind of read: ${what}`, 'Use get, edges, list, entries or history.')
  }
}

function show(query: ReadQuery, value: unknown): string {
  switch (query.type) {
    case 'GetNode':
      return JSON.stringify(value, null, 2)
    case 'GetEdges':
      return table(['SOURCE', 'TARGET', 'KIND', 'WEIGHT'], (value as MemoryEdge[]).map(
        (edge) => [edge.source, edge.target, edge.kind, showNumber(edge.weight)],
      ))
    case 'ListNodes':
      return table(['ID', 'ACTIVATION', 'CONFIDENCE', 'CONTENT'], (value as MemoryNode[]).map(
        (
          node,
        ) => [node.id, showNumber(node.activation), showNumber(node.confidence),
          brief(node.content ?? '')],
      ))
    case 'GetEntries':
      return table(['SEQUENCE', 'EPOCH', 'TIME', 'OPERATION'], (value as LogEntry[]).map(
        (
          entry,
        ) => [String(entry.sequence), String(entry.epoch), new Date(entry.timestamp).toISOString(),
          brief(JSON.stringify(entry.operation))],
      ))
    case 'GetHistory': {
      const { root, history, safeSequence } = value as HistoryValue
      const spans = table(['EPOCH', 'FIRST', 'LAST'],
        history.map(({ epoch, last }, n) =>
          [epoch, (history[n - 1]?.last ?? 0) + 1, last].map(String)
        ))
      const summedUp = root && root.sequence > 0
        ? `\nUp to ${root.sequence}, epoch ${root.epoch} stands for lower ones, too.`
        : ''
      return `${spans}${summedUp}\nSafe up to ${safeSequence}.`
    }
  }
}

function showNumber(value: number | undefined): string {
  return value === undefined ? '-' : String(value)
}

function brief(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 100 ? `${line.slice(0, 99)}…` : line
}
