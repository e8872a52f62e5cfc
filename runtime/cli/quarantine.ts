/** engram quarantine list | show | apply | discard */
import type { Command } from 'commander'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { MemoryEdge, MemoryNode, Operation } from '../../machines/graph/graph.js'
import type { LogEntry } from '../../machines/log/entries.js'
import type { QuarantineItem } from '../../machines/log/forkNotes.js'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import type { AdminAnswer } from '../client/operator.js'
import type { ConnectionFlags } from '../config/sources.js'
import { CliError, connectionOptions, durationOption, jsonOption, usage, whole } from './context.js'
import type { Context } from './context.js'
import { checkSpaceName } from './space.js'
import { table } from './text.js'

interface OrderFlags extends ConnectionFlags {
  readonly all?: boolean
  readonly json?: boolean
}

interface QuarantineFlags extends ConnectionFlags {
  readonly after: string
  readonly limit: number
  readonly deadline: number
  readonly json?: boolean
}

/** Of one answer; what is more comes in further pages. */
const pageMax = 1000

export function addQuarantine(program: Command, context: Context): void {
  const quarantine = program.command('quarantine')
    .summary('writes that lost against others: see them, apply or discard')
    .description('When a fork comes home, a write of it may have lost against what was written '
      + 'meanwhile, or the other way round. What lost is kept here until an operator decides.')
  connectionOptions(quarantine.command('list').argument('<space>'))
    .summary('list what lies there')
    .description('Lists the writes in quarantine by where they were logged first.')
    .option('--after <id>', 'go on after this one', '')
    .option('--limit <n>', 'at most', whole(1, 100_000), pageMax)
    .addOption(durationOption('--deadline <duration>', 'for each page', 10_000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram quarantine list demo
  engram quarantine show demo 3-41          # the write, what won, and what stands there now
  engram quarantine apply demo 3-41         # let it win after all
  engram quarantine discard demo 3-41       # give it up
  engram quarantine discard demo --all      # give all of them up
  engram quarantine list demo --json | jq -r '.items[].id'`)
    .action(context.act((space: string, flags: QuarantineFlags) => list(context, space, flags)))
  connectionOptions(quarantine.command('show').argument('<space>').argument('<id>'))
    .summary('show one write, and what won against it')
    .description('Prints JSON: the write (item), the one that won (won), and what stands there '
      + 'now (present).')
    .addOption(durationOption('--deadline <duration>', 'for each question', 10_000))
    .addOption(jsonOption())
    .action(context.act((space: string, id: string, flags: QuarantineFlags) =>
      show(context, space, id, flags)))
  connectionOptions(quarantine.command('apply').argument('<space>').argument('[id]'))
    .summary('let a write win after all')
    .description('Writes it as a new entry of the log: what stands there now is replaced.')
    .option('--all', 'all that lie there, in the order of the list')
    .addOption(jsonOption())
    .action(context.act((space: string, id: string | undefined, flags: OrderFlags) =>
      order(context, 'applyQuarantined', space, id, flags)))
  connectionOptions(quarantine.command('discard').argument('<space>').argument('[id]'))
    .summary('give a write up')
    .description('Takes it out of the quarantine: nothing keeps it any more.')
    .option('--all', 'all that lie there')
    .addOption(jsonOption())
    .action(context.act((space: string, id: string | undefined, flags: OrderFlags) =>
      order(context, 'discardQuarantined', space, id, flags)))
}

// ------------------------------------------------------------------ list

async function list(context: Context, space: string, flags: QuarantineFlags): Promise<void> {
  checkSpaceName(space)
  if (flags.after !== '') idOf(flags.after)
  const { items, isMore } = await context.withClient(flags, (client) =>
    pages(client, space, flags), 'reader')
  const last = items.at(-1)?.id
  if (flags.json) context.printJson({ space, items })
  else if (items.length === 0) context.note(`nothing of ${space} lies in quarantine`)
  else context.print(itemTable(items))
  if (isMore) context.note(`there are more: engram quarantine list ${space} --after ${last}`)
}

/** Page after page; an answer may hold less than was asked for. */
async function pages(
  client: EngramClient, space: string, { after, limit, deadline }: QuarantineFlags,
): Promise<{ readonly items: QuarantineItem[]; readonly isMore: boolean }> {
  const items: QuarantineItem[] = []
  while (items.length <= limit) {
    // One more than is shown tells whether there are more.
    const { value } = await client.read(space, {
      type: 'GetQuarantine', after: items.at(-1)?.id ?? after,
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
      id, new Date(timestamp).toISOString(), operation.type, subjectOf(operation),
      `(${by.epoch}, ${by.sequence})`, `(${since.epoch}, ${since.sequence})`,
    ]))
}

/** The node or edge that it is about. Of others' making: no terminal is to obey it. */
function subjectOf(operation: Operation): string {
  const name = operation.type === 'StoreNode' ? operation.node.id
    : operation.type === 'UpdateActivation' ? operation.nodeId
      : `${operation.edge.source} -${operation.edge.kind}-> ${operation.edge.target}`
  const line = name.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
  return line.length > 60 ? `${line.slice(0, 59)}…` : line
}

// ------------------------------------------------------------------ show

async function show(
  context: Context, space: string, id: string, flags: QuarantineFlags,
): Promise<void> {
  checkSpaceName(space)
  const { epoch, sequence } = idOf(id)
  await context.withClient(flags, async (client) => {
    const options = { deadlineMs: flags.deadline }
    // Sequence 1 of a log is no write: of that there is never an item.
    const after = sequence === 1 ? '' : `${epoch}-${sequence - 1}`
    const { value: [item] } = await client.read(
      space, { type: 'GetQuarantine', after, limit: 1 }, options)
    if (item?.id !== id) {
      throw new CliError(`no ${id} lies in the quarantine of ${space}`, listRemedy(space))
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

/** The entry of the log that the write is now; null where it is none, or not kept any more. */
async function entryOf(
  client: EngramClient, space: string, { now }: FateValue, options: Deadline,
): Promise<LogEntry | null> {
  if (now === null) return null
  const { value: [entry] } = await client.read(
    space, { type: 'GetEntries', from: now.sequence, limit: 1 }, options)
  return entry?.sequence === now.sequence && entry.epoch === now.epoch ? entry : null
}

/** What applying it would replace. */
async function presentOf(
  client: EngramClient, space: string, operation: Operation, options: Deadline,
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

// ------------------------------------------------------------------ apply, discard

type OrderType = 'applyQuarantined' | 'discardQuarantined'

async function order(
  context: Context, type: OrderType, space: string, id: string | undefined, flags: OrderFlags,
): Promise<void> {
  checkSpaceName(space)
  if ((id === undefined) === (flags.all !== true)) {
    throw usage('name one write, or --all', listRemedy(space))
  }
  if (id !== undefined) idOf(id)
  await context.withClient(flags, async (client) => {
    if (id === undefined) return await orderAll(context, client, type, space, flags)
    const answer = await orderOne(client, type, space, id)
    if (flags.json) context.printJson(answer)
    else context.print(answer.message ?? (type === 'applyQuarantined'
      ? `${id} has taken effect in ${space}` : `${id} of ${space} is discarded`))
  })
}

async function orderOne(
  client: EngramClient, type: OrderType, space: string, id: string,
): Promise<AdminAnswer> {
  return await client.adminAtPrimary({ type, space, id }).catch((error: unknown) => {
    if (!isGone(error)) throw error
    throw new CliError(`${error.message} [${error.code}]`, listRemedy(space))
  })
}

/** One by one: each is an entry of the log. What others decided meanwhile is passed over. */
async function orderAll(
  context: Context, client: EngramClient, type: OrderType, space: string, flags: OrderFlags,
): Promise<void> {
  let [after, count] = ['', 0]
  for (;;) {
    const { value: items } = await client.read(
      space, { type: 'GetQuarantine', after, limit: pageMax }, { deadlineMs: 10_000 })
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

/** Nothing of that id lies there. */
const isGone = (error: unknown): error is AdminError =>
  error instanceof AdminError && error.code === 'INVALID_OPERATION'

const listRemedy = (space: string): string =>
  `See what lies there: engram quarantine list ${space}`

/** @throws CliError (usage) */
function idOf(id: string): { readonly epoch: number; readonly sequence: number } {
  const [, epoch, sequence] = /^([1-9]\d{0,15})-([1-9]\d{0,15})$/.exec(id) ?? []
  if (epoch && sequence) return { epoch: Number(epoch), sequence: Number(sequence) }
  throw usage(`${JSON.stringify(id)} is no write in quarantine: an id is EPOCH-SEQUENCE, of where `
    + 'it was logged first', 'For example: 3-41, as engram quarantine list shows it.')
}
