/** engram journal verify | dump: reads files, needs no cluster. */
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { showPosition } from '../../machines/log/positions.js'
import type { BaseReport } from '../checkpoint/bases.js'
import type { VerifiedLog, VerifyReport } from '../journal/inspect.js'
import { exit } from './context.js'
import type { Action, Context } from './context.js'
import { checkDirectory, directoryCommand, type JsonFlag } from './directories.js'
import { showBytes, showCount, table } from './text.js'

interface Verified extends VerifyReport {
  /** Of logs that do not begin at their first entry. */
  readonly bases: readonly BaseReport[]
}

export function addJournalFiles(program: Command, context: Context): void {
  const journal = program.command('journal').summary('read the journal of a node')
    .description('Reads the files of a journal without changing them.')
  directoryCommand(journal, 'verify', 'check every record',
    'Checks every record, every frame and the indexes in full; and, where earlier entries were '
      + 'given up, that checkpoints have them. Exits 1 if something is damaged or missing. A torn '
      + 'last write is no damage.')
    .action(context.act((dir: string, flags: JsonFlag) => verify(context, dir, flags)))
  directoryCommand(journal, 'dump', 'print the records',
    'Prints the records with their entries. With --json it prints one record per line.')
    .action(context.act((dir: string, flags: JsonFlag) => dump(context, dir, flags)))
}

// The storage code is loaded lazily, since no other client command needs it.

async function verify(context: Context, directory: string, flags: JsonFlag): Promise<Action> {
  checkDirectory(directory)
  const { verifyJournal } = await import('../journal/inspect.js')
  const journal = await verifyJournal(directory)
  const bases = await basesOf(journal)
  const ok = journal.ok && bases.every(({ fault }) => fault === null)
  const report = { ...journal, ok, bases }
  if (flags.json) context.printJson(report)
  else print(context, report)
  return ok ? exit.ok : exit.failed
}

async function basesOf({ directory, logs }: VerifyReport): Promise<readonly BaseReport[]> {
  if (logs.every(({ base }) => base.sequence === 0)) return []
  const [{ checkBases }, { inspectCheckpoints }, { namedCheckpoints }, { NodeFileSystem }] =
    await Promise.all([import('../checkpoint/bases.js'), import('../checkpoint/inspect.js'),
      import('../journal/namedCheckpoints.js'), import('../system/fileSystem.js')])
  const fileSystem = new NodeFileSystem()
  return checkBases(logs, await inspectCheckpoints({
    fileSystem,
    directory: join(dirname(resolve(directory)), 'checkpoints'),
    readNamed: () => namedCheckpoints(directory, fileSystem),
    isWhole: true,
  }))
}

async function dump(context: Context, directory: string, flags: JsonFlag): Promise<void> {
  checkDirectory(directory)
  const { dumpJournal } = await import('../journal/inspect.js')
  for await (const record of dumpJournal(directory, { entries: true })) {
    if (flags.json) context.printJson(record)
    else {
      const { entries = [], segment, offset, type, ...rest } = record
      const fields = Object.entries(rest).filter(([, value]) => value !== null)
        .map(([name, value]) => `${name} ${value}`)
      context.print(`${segment}:${offset}  ${type}  ${fields.join('  ')}`)
      for (const entry of entries) context.print(`    ${JSON.stringify(entry)}`)
    }
  }
}

function print(context: Context, report: Verified): void {
  const { directory, journal, segments, records, retainedBytes, logs, torn } = report
  context.print(`${directory}: journal ${journal}, ${showCount(segments.length)} segments, `
    + `${showCount(records)} records, ${showBytes(report.bytes)}, of them ${
      showBytes(retainedBytes)
    } in closed segments`)
  if (logs.length > 0) {
    const bases = new Map(report.bases.map((base) => [base.uuid, base]))
    context.print(table(
      ['SPACE', 'FIRST', 'END', 'FLOOR', 'SIZE', 'CHECKPOINTS', 'COVERED', 'BASE IN', 'STATE'],
      logs.map((log) => rowOf(log, bases.get(log.uuid))),
    ))
  }
  printOldest(context, report)
  printIndexes(context, report)
  if (torn !== null) {
    context.print(`segment ${torn.segment}, offset ${torn.offset}: a torn last write (`
      + `${torn.reason}), which the next start cuts; no damage`)
  }
  for (const text of report.warnings) context.print(`warning: ${text}`)
  for (const { uuid, warning, fault } of report.bases) {
    if (warning !== null) context.print(`warning: space ${uuid}: ${warning}`)
    if (fault !== null) context.print(`fault: space ${uuid}: ${fault}`)
  }
  for (const { uuid, reason } of report.damaged) {
    context.print(`damage: ${uuid === null ? 'any space' : `space ${uuid}`}: ${reason}`)
  }
  context.print(report.ok ? 'ok' : 'not ok')
}

function rowOf(log: VerifiedLog, base: BaseReport | undefined): string[] {
  const { uuid, firstSequence, end, floor, bytes, covers, damage } = log
  return [
    uuid,
    firstSequence > end.sequence ? '-' : showCount(firstSequence),
    showPosition(end),
    showCount(floor),
    showBytes(bytes),
    String(covers.kept.length),
    covers.covered.sequence === 0 ? '-' : showPosition(covers.covered),
    base === undefined ? 'journal' : `${base.checkpoints} usable`,
    damage === null ? 'whole' : 'damaged',
  ]
}

function printOldest(context: Context, { oldest, logs }: Verified): void {
  if (oldest === null) return
  const pins = [
    ...(oldest.pin === null ? [] : [oldest.pin]),
    ...logs.flatMap(({ uuid, pin }) => pin === null ? [] : [`space ${uuid}: ${pin}`]),
  ]
  if (pins.length === 0) {
    return context.print(`the oldest segment (${oldest.segment}) may be given up`)
  }
  context.print(`the oldest segment (${oldest.segment}) has to stay:`)
  for (const pin of pins) context.print(`  ${pin}`)
}

function printIndexes(context: Context, { indexes: { sound, missing, unusable } }: Verified): void {
  const again = missing.length === 0
    ? ''
    : `; without one: ${missing.join(', ')}, which the next start reads, and makes it`
  if (sound + missing.length + unusable.length === 0) return
  context.print(`indexes of closed segments: ${sound} sound, ${unusable.length} unusable${again}`)
}
