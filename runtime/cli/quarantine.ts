/** engram quarantine list | show | apply | discard */
import type { Command } from 'commander'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode, Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { QuarantineItem } from '../../machines/log/forkNotes.js'
import type { EngramClient } from '../client/client.js'
import { AdminError, ReadError } from '../client/errors.js'
import type { AdminAnswer } from '../client/operator.js'
import type { ConnectionFlags } from '../config/sources.js'
import { CliError, connectionOptions, durationOption, jsonOption, RemediedError, usage,
  whole } from './context.js'
import type { Context } from './context.js'
import { checkSpaceName } from './space.js'
import { table } from './text.js'

interface CommandFlags extends ConnectionFlags {
  readonly all?: boolean
  readonly json?: boolean
}

interface QuarantineFlags extends ConnectionFlags {
  readonly after: string
  readonly limit: number
  readonly deadline: number
  readonly json?: boolean
}

/** Items of one answer. Further ones come in further pages. */
const pageMax = 1000

export function addQuarantine(program: Command, context: Context): void {
  const quarantine = program.command('quarantine')
    .summary('list, apply or discard writes that lost against others')
    .description('When a fork is reconciled, one of its writes may conflict with a later write. '
      + 'The one that loses is kept in the quarantine until an operator decides.')
  connectionOptions(quarantine.command('list').argument('<space>'))
    .summary('list the quarantine')
    .description('Lists the writes in quarantine, in the order in which they were first logged.')
    .option('--after <id>', 'continue after this id', '')
    .option('--limit <n>', 'number of items at most', whole(1, 100_000), pageMax)
    .addOption(durationOption('--deadline <duration>', 'for each page', 10_000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram quarantine list demo
  engram quarantine show demo 3-41          # the write, the winner, the present value
  engram quarantine apply demo 3-41         # let it win after all
  engram quarantine discard demo 3-41       # give it up
  engram quarantine discard demo --all      # give up all of them
  engram quarantine list demo --json | jq -r '.items[].id'`)
    .action(context.act((space: string, flags: QuarantineFlags) => list(context, space, flags)))
  connectionOptions(quarantine.command('show').argument('<space>').argument('<id>'))
    .summary('show one write and the one that won against it')
    .description('Prints JSON: the write (item), the one that won (won), and the present value of '
      + 'the node or edge (present).')
    .addOption(durationOption('--deadline <duration>', 'for each read', 10_000))
    .addOption(jsonOption())
    .action(
      context.act((space: string, id: string, flags: QuarantineFlags) =>
        show(context, space, id, flags)
      ),
    )
  connectionOptions(quarantine.command('apply').argument('<space>').argument('[id]'))
    .summary('let a write win after all')
    .description('Writes it as a new entry of the log. It replaces the present value.')
    .option('--all', 'apply all, in the order of the list')
    .addOption(jsonOption())
    .action(
      context.act((space: string, id: string | undefined, flags: CommandFlags) =>
        decide(context, 'applyQuarantined', space, id, flags)
      ),
    )
  connectionOptions(quarantine.command('discard').argument('<space>').argument('[id]'))
    .summary('give up a write')
    .description('Removes the write from the quarantine. No copy is kept.')
    .option('--all', 'discard all')
    .addOption(jsonOption())
    .action(
      context.act((space: string, id: string | undefined, flags: CommandFlags) =>
        decide(context, 'discardQuarantined', space, id, flags)
      ),
    )
}

async function list(context: Context, space: string, flags: QuarantineFlags): Promise<void> {
  checkSpaceName(space)
  if (flags.after !== '') idOf(flags.after)
  const { items, isMore } = await context.withClient(flags, (client) => pages(client, space, flags),
    'reader')
  const last = items.at(-1)?.id
  if (flags.json) context.printJson({ space, items })
  else if (items.length === 0) context.note(`the quarantine of ${space} is empty`)
  else context.print(itemTable(items))
  if (isMore) context.note(`more items exist: engram quarantine list ${space} --after ${last}`)
}

/** Reads page after page, since an answer may hold fewer items than were asked for. */
async function pages(
  client: EngramClient,
  space: string,
  { after, limit, deadline }: QuarantineFlags,
): Promise<{ readonly items: QuarantineItem[]; readonly isMore: boolean }> {
  const items: QuarantineItem[] = []
  while (items.length <= limit) {
    // One item more than is shown tells whether there are more.
    const { value } = await client.read(space, {
      type: 'GetQuarantine',
      after: items.at(-1)?.id ?? after,
      limit: Math.min(pageMax, limit + 1 - items.length),
    }, { deadlineMs: deadline })
    if (value.length === 0) break
    items.push(...value)
  }
  return { items: items.slice(0, limit), isMore: items.length > limit }
}

function itemTable(items: readonly QuarantineItem[]): string {
  return table(
    ['ID', 'WRITTEN', 'OPERATION', 'OF', 'LOST AGAINST', 'SINCE'],
    items.map(({ id, timestamp, operation, by, since }) => [
      id,
      new Date(timestamp).toISOString(),
      operation.type,
      subjectOf(operation),
      `(${by.epoch}, ${by.sequence})`,
      `(${since.epoch}, ${since.sequence})`,
    ]),
  )
}

/** The node or edge of an operation, without control characters, which clients may have sent. */
function subjectOf(operation: Operation): string {
  const name = operation.type === 'StoreNode'
    ? operation.node.id
    : operation.type === 'UpdateActivation'
    ? operation.nodeId
    : `${operation.edge.source} -${operation.edge.kind}-> ${operation.edge.target}`
  const line = name.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

async function show(
  context: Context,
  space: string,
  id: string,
  flags: QuarantineFlags,
): Promise<void> {
  checkSpaceName(space)
  const { epoch, sequence } = idOf(id)
  await context.withClient(flags, async (client) => {
    const options = { deadlineMs: flags.deadline }
    // Sequence 1 of a log is no write, so there is never an item of it.
    const after = sequence === 1 ? '' : `${epoch}-${sequence - 1}`
    const { value: [item] } = await client.read(
      space,
      { type: 'GetQuarantine', after, limit: 1 },
      options,
    )
    if (item?.id !== id) {
      throw new CliError(`${id} is not in the quarantine of ${space}`, listRemedy(space))
    }
    const by = { epoch: item.by.epoch, sequence: item.by.sequence }
    const { value: fate } = await client.read(space, { type: 'GetFate', ...by }, options)
    const won = { ...by, fate: fate.fate, entry: await entryOf(client, space, fate, options) }
    const present = await presentOf(client, space, item.operation, options)
    const shown = { item, won, present }
    if (flags.json) context.printJson(shown)
    else context.print(JSON.stringify(shown, null, 2))
  }, 'reader')
}

interface Deadline {
  readonly deadlineMs: number
}

/** The write's present log entry. null if it has none, or if the entry is no longer kept. */
async function entryOf(
  client: EngramClient,
  space: string,
  { now }: FateValue,
  options: Deadline,
): Promise<LogEntry | null> {
  if (now === null) return null
  const { value: [entry] } = await client.read(
    space,
    { type: 'GetEntries', from: now.sequence, limit: 1 },
    options,
  ).catch((error: unknown) => {
    if (error instanceof ReadError && error.code === 'TRUNCATED') return { value: [] }
    throw error
  })
  return entry?.sequence === now.sequence && entry.epoch === now.epoch ? entry : null
}

/** The present value, which applying the write would replace. */
async function presentOf(
  client: EngramClient,
  space: string,
  operation: Operation,
  options: Deadline,
): Promise<MemoryNode | MemoryEdge | null> {
  if (operation.type === 'StoreEdge') {
    const { source, target, kind } = operation.edge
    const query = { type: 'GetEdges', nodeId: source, direction: 'out' } as const
    for await (const { value } of client.pages(space, query, options)) {
      const found = value.find((edge) => edge.target === target && edge.kind === kind)
      if (found) return found
    }
    return null
  }
  const nodeId = operation.type === 'StoreNode' ? operation.node.id : operation.nodeId
  return (await client.read(space, { type: 'GetNode', nodeId }, options)).value
}

type CommandType = 'applyQuarantined' | 'discardQuarantined'

async function decide(
  context: Context,
  type: CommandType,
  space: string,
  id: string | undefined,
  flags: CommandFlags,
): Promise<void> {
  checkSpaceName(space)
  if ((id === undefined) === (flags.all !== true)) {
    throw usage('give the id of one write, or --all', listRemedy(space))
  }
  if (id !== undefined) idOf(id)
  await context.withClient(flags, async (client) => {
    if (id === undefined) return await decideAll(context, client, type, space, flags)
    const answer = await decideOne(client, type, space, id)
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? (type === 'applyQuarantined'
        ? `${id} has taken effect in ${space}`
        : `${id} of ${space} has been discarded`))
  })
}

async function decideOne(
  client: EngramClient,
  type: CommandType,
  space: string,
  id: string,
): Promise<AdminAnswer> {
  return await client.adminAtPrimary({ type, space, id }).catch((error: unknown) => {
    if (!isGone(error)) throw error
    throw new RemediedError(error, listRemedy(space))
  })
}

/** Decides one by one, since each is a log entry. Skips items that were decided meanwhile. */
async function decideAll(
  context: Context,
  client: EngramClient,
  type: CommandType,
  space: string,
  flags: CommandFlags,
): Promise<void> {
  let [after, count] = ['', 0]
  for (;;) {
    const { value: items } = await client.read(
      space,
      { type: 'GetQuarantine', after, limit: pageMax },
      { deadlineMs: 10_000 },
    )
    if (items.length === 0) break
    for (const { id } of items) {
      after = id
      try {
        await client.adminAtPrimary({ type, space, id })
        count += 1
      } catch (error) {
        if (!isGone(error)) throw error
      }
    }
  }
  const what = type === 'applyQuarantined' ? 'taken effect' : 'been discarded'
  if (flags.json) context.printJson({ space, count })
  else context.print(`${count} ${count === 1 ? 'write has' : 'writes have'} ${what} in ${space}`)
}

/** True if the quarantine has no item with that id. */
const isGone = (error: unknown): error is AdminError =>
  error instanceof AdminError && error.code === 'INVALID_OPERATION'

const listRemedy = (space: string): string => `List the quarantine: engram quarantine list ${space}`

/** @throws CliError (usage) */
function idOf(id: string): { readonly epoch: number; readonly sequence: number } {
  const [, epoch, sequence] = /^([1-9]\d{0,15})-([1-9]\d{0,15})$/.exec(id) ?? []
  if (epoch && sequence) return { epoch: Number(epoch), sequence: Number(sequence) }
  throw usage(`invalid id ${JSON.stringify(id)}: an id is EPOCH-SEQUENCE of the first log position`,
    'Use an id such as 3-41, as engram quarantine list shows it.')
}
