/** engram fate */
import type { Command } from 'commander'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { Position } from '../../machines/base/ids.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, durationOption, jsonOption, usage, whole } from './context.js'
import type { Context } from './context.js'
import { checkSpaceName } from './space.js'

interface FateFlags extends ConnectionFlags {
  readonly key?: string
  readonly epoch?: number
  readonly sequence?: number
  readonly deadline: number
  readonly json?: boolean
}

export function addFate(program: Command, context: Context): void {
  const number = whole(1, Number.MAX_SAFE_INTEGER)
  connectionOptions(program.command('fate').argument('<space>'))
    .summary('tell what became of one write')
    .description('Tells where a write is now: by its idempotency key, or by the epoch and '
      + 'sequence of its answer. It may be in the log, also as an entry of a later epoch that it '
      + 'came home to; lie in the quarantine or in a salvage; or be lost.')
    .option('--key <key>', 'idempotency key, as the write was sent with')
    .option('--epoch <n>', 'of the answer, with --sequence', number)
    .option('--sequence <n>', 'of the answer', number)
    .addOption(durationOption('--deadline <duration>', 'all attempts together', 10_000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram fate demo --key order-77
  engram fate demo --epoch 3 --sequence 41 --json | jq -r .fate

Fates: safe, committed, durable, superseded, quarantined, salvaged, lost, unknown.
Exits 0 whichever it is.`)
    .action(context.act((space: string, flags: FateFlags) => fate(context, space, flags)))
}

async function fate(context: Context, space: string, flags: FateFlags): Promise<void> {
  checkSpaceName(space)
  const query = queryOf(space, flags)
  const { value } = await context.withClient(flags, (client) =>
    client.read(space, query, { deadlineMs: flags.deadline }), 'reader')
  if (flags.json) return context.printJson({ space, ...value })
  context.print(value.reason)
  for (const [name, text] of factsOf(value)) context.print(`  ${name.padEnd(13)} ${text}`)
}

function queryOf(space: string, { key, epoch, sequence }: FateFlags) {
  const example = `For example: engram fate ${space} --epoch 3 --sequence 41`
  if (key !== undefined) {
    if (epoch === undefined && sequence === undefined) return { type: 'GetFate', key } as const
    throw usage('--key and --epoch with --sequence both name a write', 'Give one of them.')
  }
  if (epoch === undefined && sequence === undefined) {
    throw usage('which write? Give its --key, or --epoch and --sequence', example)
  }
  if (epoch !== undefined && sequence !== undefined) {
    return { type: 'GetFate', epoch, sequence } as const
  }
  throw usage('a place in a log is --epoch and --sequence together', example)
}

const ways = {
  client: 'its client, which sent it again', salvage: 'a salvage',
  quarantine: 'an operator, out of the quarantine',
} as const

function factsOf(value: FateValue): [name: string, text: string][] {
  const { epoch, sequence, now, via, by, node } = value
  const facts: [string, string][] = [['fate', value.fate]]
  if (epoch !== null && sequence !== null) {
    facts.push(['logged first', placeText({ epoch, sequence })])
  }
  if (now) facts.push(['entry now', placeText(now)])
  if (via) facts.push(['brought by', ways[via]])
  if (by) facts.push(['lost against', placeText(by)])
  if (node) facts.push(['on', node])
  return facts
}

const placeText = ({ epoch, sequence }: Position): string => `epoch ${epoch}, sequence ${sequence}`
