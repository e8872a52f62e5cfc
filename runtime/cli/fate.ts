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
    .summary('show what became of one write')
    .description('Shows where a write is now. It is named by its idempotency key, or by the epoch '
      + 'and sequence of its answer. It is in the log (as an entry of a later epoch if it was '
      + 'reconciled), in the quarantine, in a salvage, or lost.')
    .option('--key <key>', 'idempotency key of the write')
    .option('--epoch <n>', 'epoch of the answer; needs --sequence', number)
    .option('--sequence <n>', 'sequence of the answer', number)
    .addOption(durationOption('--deadline <duration>', 'over all attempts', 10_000))
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram fate demo --key order-77
  engram fate demo --epoch 3 --sequence 41 --json | jq -r .fate

Fates: safe, committed, durable, superseded, quarantined, salvaged, lost, unknown.
Exits 0 for every fate.`)
    .action(context.act((space: string, flags: FateFlags) => fate(context, space, flags)))
}

async function fate(context: Context, space: string, flags: FateFlags): Promise<void> {
  checkSpaceName(space)
  const query = queryOf(space, flags)
  const { value } = await context.withClient(flags,
    (client) => client.read(space, query, { deadlineMs: flags.deadline }), 'reader')
  if (flags.json) return context.printJson({ space, ...value })
  context.print(value.reason)
  for (const [name, text] of factsOf(value)) context.print(`  ${name.padEnd(13)} ${text}`)
}

function queryOf(space: string, { key, epoch, sequence }: FateFlags) {
  const example = `For example: engram fate ${space} --epoch 3 --sequence 41`
  if (key !== undefined) {
    if (epoch === undefined && sequence === undefined) return { type: 'GetFate', key } as const
    throw usage('--key cannot be combined with --epoch and --sequence',
      'Name the write in one way only.')
  }
  if (epoch === undefined && sequence === undefined) {
    throw usage('the write is not named: give its --key, or --epoch and --sequence', example)
  }
  if (epoch !== undefined && sequence !== undefined) {
    return { type: 'GetFate', epoch, sequence } as const
  }
  throw usage('--epoch and --sequence are needed together', example)
}

const ways = {
  client: 'its client, which resent it',
  salvage: 'a salvage',
  quarantine: 'an operator, from the quarantine',
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
