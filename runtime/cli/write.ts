/** engram write */
import { isUtf8 } from 'node:buffer'
import { createReadStream, readFileSync, statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { SingleBar } from 'cli-progress'
import type { Command } from 'commander'
import type { WriteAnswer } from '../../actors/ports/clientApi.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { Operation } from '../../machines/graph/graph.js'
import type { AckLevel } from '../../machines/protocol/messages.js'
import { keyFault } from '../client/client.js'
import type { EngramClient } from '../client/client.js'
import { EngramError, WriteOutcomeUnknownError } from '../client/errors.js'
import { wideIntegerIn } from '../codec/wideIntegers.js'
import type { ConnectionFlags } from '../config/sources.js'
import { CliError, connectionOptions, durationOption, exit, jsonOption, usage,
  whole } from './context.js'
import type { Action, Context } from './context.js'
import { endingOf, showEnding } from './errors.js'
import { linesOf } from './lines.js'
import { ackOption, checkSpaceName } from './space.js'
import { showCount } from './text.js'

interface WriteFlags extends ConnectionFlags {
  readonly file?: string
  readonly ack?: AckLevel
  readonly key?: string
  readonly deadline: number
  readonly inFlight: number
  readonly keepGoing?: boolean
  readonly json?: boolean
}

const example = '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'

export function addWrite(program: Command, context: Context): void {
  connectionOptions(
    program.command('write').argument('<space>').argument('[json]',
      'an operation, an array of operations, {"operations":[…]}, or - to read lines from stdin'),
  )
    .summary('write one operation or a file of them')
    .description('Writes and waits for the answer. A write without a definite answer is repeated '
      + 'with the same idempotency key, so that it takes effect at most once.')
    .option('--file <ndjson>', 'file with one request per line: an operation or {"operations":[…]}')
    .addOption(ackOption('ack level (default: that of the space)'))
    .option('--key <key>', 'idempotency key; for a file KEY-1, KEY-2 … by line, so that an '
      + 'interrupted file can be written again')
    .addOption(durationOption('--deadline <duration>', 'for each write, over all attempts', 10_000))
    .option('--in-flight <n>', 'number of lines waiting for an answer; 1 guarantees their order',
      whole(1, 65_536), 256)
    .option('--keep-going', 'continue after a line that fails')
    .addOption(jsonOption())
    .addHelpText('after', `
Operations:
  ${example}
  {"type":"UpdateActivation","nodeId":"n1","activation":0.8}
  {"type":"StoreEdge","edge":{"source":"n1","target":"n2","kind":"causal","weight":0.7}}

Examples:
  engram write demo '${example}'
  engram write demo --file ops.ndjson --key import-7
  generate | engram write demo -`)
    .action(
      context.act((space: string, json: string | undefined, flags: WriteFlags) =>
        write(context, space, json, flags)
      ),
    )
}

async function write(
  context: Context,
  space: string,
  json: string | undefined,
  flags: WriteFlags,
): Promise<Action> {
  checkSpaceName(space)
  if (json !== undefined && flags.file !== undefined) {
    throw usage('both JSON and --file were given', 'Give only one of them.')
  }
  if (json === undefined && flags.file === undefined) {
    throw usage('nothing to write',
      `Give JSON, --file, or - for stdin, such as: engram write ${space} '${example}'`)
  }
  if (json !== undefined && json !== '-') return writeOne(context, space, json, flags)
  checkKey(flags.key, '-1')
  const source = openSource(context, flags.file ?? '-')
  return context.withClient(flags, (client) => writeLines(context, client, space, source, flags),
    'writer')
}

/** @param suffix line number, which is appended to the key of a file */
function checkKey(key: string | undefined, suffix: string): void {
  const fault = key === undefined ? null : keyFault(key + suffix)
  if (fault !== null) throw usage(fault, 'Choose another --key, such as import-7.')
}

async function writeOne(
  context: Context,
  space: string,
  json: string,
  flags: WriteFlags,
): Promise<void> {
  const request = isArgumentIllFormed(json) ? 'the argument is not UTF-8' : parseRequest(json)
  if (typeof request === 'string') throw usage(request, `For example: '${example}'`)
  const { ack, key, deadline } = flags
  checkKey(key, '')
  await context.withClient(flags, async (client) => {
    const answer = await client.write(space, request, { ack, key, deadlineMs: deadline })
    if (flags.json) context.printJson(answer)
    else context.print(showAnswer(answer))
  }, 'writer')
}

function showAnswer(answer: WriteAnswer): string {
  const safe = answer.safeSequence >= answer.sequence
    ? 'safe'
    : `safe so far: ${answer.safeSequence}`
  return `${answer.duplicate ? 'already written' : 'written'}: ${answer.space} sequence `
    + `${answer.sequence}, epoch ${answer.epoch}, ${answer.ack} at ${answer.node} (${safe})`
}

/** True if the argument was not UTF-8. Node decodes such bytes as U+FFFD; /proc has them raw. */
function isArgumentIllFormed(json: string): boolean {
  if (!json.includes('\ufffd')) return false
  try {
    return !isUtf8(readFileSync('/proc/self/cmdline'))
  } catch {
    return false
  }
}

/** Returns the request, or a fault as a string. The server checks the rest. */
function parseRequest(line: string): Operation | readonly Operation[] | string {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    return `not valid JSON: ${(error as Error).message}`
  }
  // The server would see only the rounded number.
  const rounded = wideIntegerIn(line)
  if (rounded !== null) return rounded
  if (typeof value !== 'object' || value === null) return 'an operation is a JSON object'
  if (Array.isArray(value)) return value as Operation[]
  const { operations } = value as { operations?: unknown }
  return Array.isArray(operations) ? operations as Operation[] : value as Operation
}

/** Time that the end of a file waits for a second disk to have all of it, ms. */
const safeWithinMs = 5000

interface Source {
  readonly stream: Readable
  /** null if not known. */
  readonly bytes: number | null
}

function openSource(context: Context, path: string): Source {
  if (path === '-') return { stream: context.io.stdin, bytes: null }
  return { bytes: statSync(path).size, stream: createReadStream(path) }
}

interface Tally {
  lines: number
  written: number
  operations: number
  duplicates: number
  refused: number
  unknown: number
  firstSequence: number | null
  lastSequence: number | null
  epoch: number | null
}

async function writeLines(
  context: Context,
  client: EngramClient,
  space: string,
  source: Source,
  flags: WriteFlags,
): Promise<Action> {
  const tally: Tally = {
    lines: 0,
    written: 0,
    operations: 0,
    duplicates: 0,
    refused: 0,
    unknown: 0,
    firstSequence: null,
    lastSequence: null,
    epoch: null,
  }
  const startedAt = performance.now()
  const bar = progressBar(context, source)
  const window = new Window(flags.inFlight)
  let failed = false
  const fail = (line: number, error: unknown): void => {
    if (error instanceof WriteOutcomeUnknownError) tally.unknown++
    else tally.refused++
    failed = true
    if (flags.json) return context.note(showEnding(endingOf(error), true, { line }))
    const code = error instanceof EngramError ? `${error.code}: ` : ''
    context.note(`line ${line}: ${code}${messageOf(error)}`)
  }
  for await (const { number, bytes, text } of linesOf(source.stream)) {
    tally.lines = number
    bar.read(bytes)
    if (typeof text === 'string' && text.trim() === '') continue
    const request = typeof text === 'string' ? parseRequest(text) : text.fault
    if (typeof request === 'string') {
      fail(number, new CliError(request))
    } else {
      await window.enter()
      const key = flags.key === undefined ? undefined : `${flags.key}-${number}`
      client.write(space, request, { ack: flags.ack, key, deadlineMs: flags.deadline })
        .then((answer) => note(tally, answer), (error: unknown) => fail(number, error))
        .finally(() => {
          window.leave()
          bar.show(tally)
        })
    }
    if (failed && !flags.keepGoing) break
  }
  await window.drained()
  bar.stop()
  const ms = performance.now() - startedAt
  await client.flush(space, { timeoutMs: safeWithinMs }).catch(() => undefined)
  report(context, { ...tally, unsafe: client.unsafe(space).writes }, ms, flags.json ?? false)
  return failed ? exit.failed : exit.ok
}

function note(tally: Tally, answer: WriteAnswer): void {
  tally.written++
  tally.operations += answer.count
  if (answer.duplicate) tally.duplicates++
  const first = answer.sequence - answer.count + 1
  tally.firstSequence = Math.min(tally.firstSequence ?? first, first)
  tally.lastSequence = Math.max(tally.lastSequence ?? 0, answer.sequence)
  tally.epoch = Math.max(tally.epoch ?? 0, answer.epoch)
}

function report(
  context: Context,
  tally: Tally & { readonly unsafe: number },
  ms: number,
  json: boolean,
): void {
  const perSecond = ms > 0 ? Math.round(tally.operations / ms * 1000) : 0
  const whole = tally.refused + tally.unknown === 0
  if (json) {
    context.printJson({ ok: whole, ...tally, ms: Math.round(ms), operationsPerSecond: perSecond })
    return
  }
  const range = tally.lastSequence === null
    ? ''
    : `, sequences ${tally.firstSequence} to ${tally.lastSequence}`
  const twice = tally.duplicates === 0
    ? ''
    : `, ${showCount(tally.duplicates)} already written before`
  context.print(`${showCount(tally.operations)} operations written${range}${twice} `
    + `(${showCount(perSecond)}/s)`)
  if (tally.unsafe > 0) {
    context.note(`${showCount(tally.unsafe)} requests are still on one disk only; `
      + 'see the in-sync members: engram status')
  }
  if (whole) return
  const { refused, unknown } = tally
  context.note(`${showCount(refused)} refused, ${showCount(unknown)} with unknown outcome`)
  context.note('To resume: fix the file and run the command again with the same --key. Writes that '
    + 'were applied are not applied again.')
}

/** Limits the requests that wait for an answer. For one producer. */
class Window {
  #inside = 0
  #waiting: (() => void) | null = null
  #empty: (() => void) | null = null

  constructor(readonly size: number) {}

  async enter(): Promise<void> {
    if (this.#inside >= this.size) await new Promise<void>((resolve) => (this.#waiting = resolve))
    this.#inside++
  }

  leave(): void {
    this.#inside--
    this.#waiting?.()
    this.#waiting = null
    if (this.#inside === 0) this.#empty?.()
  }

  async drained(): Promise<void> {
    if (this.#inside > 0) await new Promise<void>((resolve) => (this.#empty = resolve))
  }
}

interface Progress {
  read(bytes: number): void
  show(tally: Tally): void
  stop(): void
}

const longInputBytes = 1024 * 1024

/** A progress bar on a terminal, for long input or input of unknown length. */
function progressBar(context: Context, source: Source): Progress {
  const stderr = context.io.stderr as NodeJS.WriteStream
  const long = source.bytes === null || source.bytes > longInputBytes
  if (!stderr.isTTY || !long) return { read() {}, show() {}, stop() {} }
  const known = source.bytes !== null
  const bar = new SingleBar({
    stream: stderr,
    clearOnComplete: true,
    hideCursor: true,
    fps: 10,
    format: known
      ? '{bar} {percentage} %  {operations} operations  {eta_formatted} left'
      : '{operations} operations  {duration_formatted}',
  })
  let bytes = 0
  bar.start(source.bytes ?? 0, 0, { operations: 0 })
  return {
    read: (more) => {
      bytes += more
    },
    show: (tally) => bar.update(known ? bytes : 0, { operations: showCount(tally.operations) }),
    stop: () => bar.stop(),
  }
}
