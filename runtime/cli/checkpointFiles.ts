/** engram checkpoint list | verify: reads files, needs no cluster. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { showPosition } from '../../machines/log/positions.js'
import type { CheckpointReport, Fault, InspectedFile,
  InspectedSection } from '../checkpoint/inspect.js'
import type { NamedCheckpoint } from '../journal/namedCheckpoints.js'
import { exit } from './context.js'
import type { Action, Context } from './context.js'
import { checkNodeDirectory, directoryCommand, type JsonFlag } from './directories.js'
import { orDash, showBytes, table } from './text.js'

export function addCheckpointFiles(program: Command, context: Context): void {
  const checkpoint = program.command('checkpoint')
    .summary('read checkpoint files, which have the state of spaces')
    .description('A checkpoint is the committed state of a space as of one position. It counts if '
      + 'the journal of the node names it. Reads the files without changing them.')
  directoryCommand(checkpoint, 'list', 'list the checkpoints of a node',
    'Lists the checkpoint files of a node, with the sections of each one, and whether they count. '
      + 'Reads only the head and the end of each file.')
    .action(context.act((dir: string, flags: JsonFlag) => show(context, dir, flags, false)))
  directoryCommand(checkpoint, 'verify', 'check all of each checkpoint',
    'Reads all checkpoints: checksums, hashes of records, digests, counts. Exits 1 if one that '
      + 'counts cannot be used.')
    .action(context.act((dir: string, flags: JsonFlag) => show(context, dir, flags, true)))
}

async function show(
  context: Context,
  directory: string,
  flags: JsonFlag,
  isWhole: boolean,
): Promise<Action> {
  const { report, unknown } = await inspect(directory, isWhole)
  if (flags.json) context.printJson({ ...report, countsUnknown: unknown })
  else print(context, report, unknown, isWhole)
  return report.ok || !isWhole ? exit.ok : exit.failed
}

/** `unknown`: why it is not known which checkpoints count, or null. */
async function inspect(
  directory: string,
  isWhole: boolean,
): Promise<{ report: CheckpointReport; unknown: string | null }> {
  checkNodeDirectory(directory)
  const [{ inspectCheckpoints }, { namedCheckpoints }, { NodeFileSystem }] = await Promise.all(
    [import('../checkpoint/inspect.js'), import('../journal/namedCheckpoints.js'),
      import('../system/fileSystem.js')],
  )
  const fileSystem = new NodeFileSystem()
  let unknown: string | null = null
  const readNamed = async (): Promise<readonly NamedCheckpoint[] | null> => {
    try {
      const named = await namedCheckpoints(directory, fileSystem)
      unknown = null
      return named
    } catch (error) {
      // No journal, one that cannot be read, or of a later version.
      if (!(error instanceof Error && 'code' in error)) throw error
      unknown = error.message
      return null
    }
  }
  const report = await inspectCheckpoints({
    fileSystem,
    directory: join(directory, 'checkpoints'),
    readNamed,
    isWhole,
  })
  return { report, unknown }
}

function print(
  context: Context,
  report: CheckpointReport,
  unknown: string | null,
  isWhole: boolean,
): void {
  const { files, missing, unfinished } = report
  if (files.length + missing.length + unfinished.length === 0) {
    return context.note(`no checkpoints in ${report.directory}`)
  }
  const rows = files.flatMap((file) =>
    file.sections.map((section) => isWhole ? verified(file, section) : listed(file, section))
  )
  const heads = isWhole
    ? ['FILE', 'SPACE', 'UUID', 'POSITION', 'SIZE', 'COUNTS', 'RESULT']
    : ['FILE', 'SIZE', 'WRITTEN', 'SPACE', 'UUID', 'POSITION', 'SIZE THERE', 'COUNTS']
  if (rows.length > 0) context.print(table(heads, rows))
  for (const { name, fault } of files) {
    if (fault !== null) context.print(`${name} ${faultText(fault)}`)
  }
  for (const { uuid, file, position, reason } of missing) {
    context.print(`missing: the journal names a checkpoint of ${uuid} in file ${file}, at `
      + `${showPosition(position)}, but ${reason}`)
  }
  for (const { name, bytes, state } of unfinished) {
    context.print(`${name} (${showBytes(bytes)}) is not finished: ${unfinishedText[state]}`)
  }
  if (unknown !== null) context.print(`not known which ones count: ${unknown}`)
  else if (files.some(({ sections }) => sections.some(({ counts }) => counts === false))) {
    context.print('What does not count is not named by the journal: the node never uses it, and '
      + 'its next start removes files of which nothing counts.')
  }
  if (isWhole) {
    const what = unknown === null ? 'everything that counts' : 'everything'
    context.print(report.ok ? `ok: ${what} can be used` : `not ok: not ${what} can be used`)
  }
}

function listed(file: InspectedFile, section: InspectedSection): string[] {
  const { name, bytes, writtenAtMs } = file
  return [
    name,
    showBytes(bytes),
    orDash(writtenAtMs, (ms) => new Date(ms).toISOString()),
    section.space,
    section.uuid,
    showPosition(section.position),
    showBytes(section.bytes),
    countsText(section.counts),
  ]
}

function verified({ name }: InspectedFile, section: InspectedSection): string[] {
  const { space, uuid, position, bytes, counts, fault } = section
  return [name, space, uuid, showPosition(position), showBytes(bytes), countsText(counts),
    fault === null ? 'ok' : faultText(fault)]
}

function countsText(counts: boolean | null): string {
  return orDash(counts, (known) => known ? 'yes' : 'no')
}

function faultText({ code, reason }: Fault): string {
  if (code === 'CHECKPOINT_DAMAGED') return `is damaged: ${reason}`
  if (code === 'CHECKPOINT_VERSION') return `needs a later version of this program: ${reason}`
  return `cannot be read: ${reason}`
}

const unfinishedText = {
  unfinished: 'the node is writing it, or removes it at its next start',
  beingReceived: 'it comes from another node, and is resumed after a restart',
}
