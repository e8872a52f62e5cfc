/** engram journal verify | dump, engram salvage list | show: read files, need no cluster. */
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { SalvageFiles } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import { CliError, exit, jsonOption, usage } from './context.js'
import type { Action, Context } from './context.js'
import { showBytes, showCount, showValue, table } from './text.js'

export interface JsonFlag {
  readonly json?: boolean
}

export function addFiles(program: Command, context: Context): void {
  const journal = program.command('journal').summary('read the journal of a node')
    .description('Reads the files of a journal without changing them.')
  directoryCommand(journal, 'verify', 'check every record',
    'Checks every record and every frame in full. Exits 1 if one is damaged. A torn last write '
      + 'is no damage.')
    .action(context.act((dir: string, flags: JsonFlag) => verify(context, dir, flags)))
  directoryCommand(journal, 'dump', 'print the records',
    'Prints the records with their entries. With --json it prints one record per line.')
    .action(context.act((dir: string, flags: JsonFlag) => dump(context, dir, flags)))
  const salvage = program.command('salvage')
    .summary('read salvage files, which keep truncated entries')
    .description('A salvage keeps the entries of a fork: entries of an epoch that ended before '
      + 'they were replicated. (MongoDB calls it a rollback file.)')
  directoryCommand(salvage, 'list', 'list the salvage files of a node',
    'Lists the salvage files of a node, with the fork that each one holds.')
    .action(context.act((dir: string, flags: JsonFlag) => list(context, dir, flags)))
  directoryCommand(salvage, 'show', 'print the entries of a salvage file',
    'Prints the entries of a salvage file. Their {"operations":[…]} can be written again.')
    .argument('[name]', 'name as salvage list shows it (default: the only file)')
    .action(
      context.act((dir: string, name: string | undefined, flags: JsonFlag) =>
        show(context, dir, name, flags)
      ),
    )
}

export function directoryCommand(
  parent: Command,
  name: string,
  summary: string,
  description: string,
): Command {
  return parent.command(name).summary(summary).description(description)
    .argument('<dir>', 'data directory of the node').addOption(jsonOption())
}

function checkDirectory(directory: string): void {
  if (existsSync(directory)) return
  throw usage(`${directory} does not exist`,
    'Name the data directory of a node, such as .engram/n1')
}

// The storage code is loaded lazily, since no other client command needs it.

async function verify(context: Context, directory: string, flags: JsonFlag): Promise<Action> {
  checkDirectory(directory)
  const { verifyJournal } = await import('../journal/inspect.js')
  const report = await verifyJournal(directory)
  if (flags.json) context.printJson(report)
  else context.print(showValue(report).replace(/^\n/, ''))
  return report.ok ? exit.ok : exit.failed
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

/** Refuses a directory without a node, whose lack of files would mean nothing. */
export function checkNodeDirectory(directory: string): void {
  checkDirectory(directory)
  if (isOfNode(directory)) return
  throw usage(`${directory} is not the data directory of a node`,
    `Name one, such as ${nodesBelow(directory)[0] ?? '.engram/n1'}`)
}

const isOfNode = (directory: string): boolean =>
  ['identity.json', 'journal', 'salvage', 'checkpoints'].some((name) =>
    existsSync(join(directory, name))
  )

/** Data directories of nodes below the directory of an `engram up`. */
function nodesBelow(directory: string): string[] {
  try {
    return readdirSync(directory).toSorted()
      .map((name) => join(directory, name)).filter(isOfNode)
  } catch {
    return []
  }
}

async function salvagesIn(context: Context, directory: string): Promise<SalvageFiles> {
  checkNodeDirectory(directory)
  const [{ createSalvageFiles }, { NodeFileSystem }] = await Promise.all(
    [import('../journal/salvage.js'), import('../system/fileSystem.js')],
  )
  const log = (fields: object, message: string): void =>
    context.note('reason' in fields ? `${message}: ${String(fields.reason)}` : message)
  const logger: Logger = { debug() {}, info() {}, warn: log, error: log }
  return createSalvageFiles({
    directory: join(directory, 'salvage'),
    fileSystem: new NodeFileSystem(),
    logger,
  })
}

async function list(context: Context, directory: string, flags: JsonFlag): Promise<void> {
  const files = await salvagesIn(context, directory)
  const salvages = await files.list()
  const readable = new Set(salvages.map(({ name }) => name))
  const unreadable = (await files.names()).filter((name) => !readable.has(name))
  if (flags.json) return context.printJson({ salvages, unreadable })
  if (salvages.length === 0) {
    if (unreadable.length > 0) return
    return context.note(`no salvages in ${directory}: no entries were truncated`)
  }
  context.print(table(
    ['NAME', 'SPACE', 'ENTRIES', 'SIZE', 'AFTER', 'TO', 'JOINED EPOCH', 'SAVED'],
    salvages.map(({ name, header, entries, bytes }) => [
      name,
      header.space,
      showCount(entries),
      showBytes(bytes),
      `(${header.common.epoch}, ${header.common.sequence})`,
      `(${header.end.epoch}, ${header.end.sequence})`,
      String(header.joinedEpoch),
      new Date(header.savedAtMs).toISOString(),
    ]),
  ))
}

async function show(
  context: Context,
  directory: string,
  name: string | undefined,
  flags: JsonFlag,
): Promise<void> {
  const files = await salvagesIn(context, directory)
  const chosen = name ?? await onlyOne(files, directory)
  const { entriesOf } = await import('../journal/salvage.js')
  const source = await files.open(chosen)
  const { header } = source
  await source.close()
  // Printed while it is read, since it may be larger than memory.
  let before = `{"header":${JSON.stringify(header)},"entries":[`
  if (!flags.json) context.print(showValue(header).replace(/^\n/, ''))
  let fault = ''
  try {
    for await (const entry of entriesOf(files, chosen)) {
      const text = JSON.stringify(entry)
      await written(context, flags.json ? `${before}${text}` : `${text}\n`)
      before = ','
    }
  } catch (error) {
    fault = `,"error":${JSON.stringify(messageOf(error))}`
    throw error
  } finally {
    // The document is always complete: entries that could be read, and the error of the rest.
    if (flags.json) context.print(`${before === ',' ? '' : before}]${fault}}`)
  }
}

/** Writes, and waits while the reader of the output does not keep up. */
async function written(context: Context, text: string): Promise<void> {
  if (!context.io.stdout.write(text)) await once(context.io.stdout, 'drain')
}

async function onlyOne(files: SalvageFiles, directory: string): Promise<string> {
  const found = await files.list()
  const [first] = found
  if (first && found.length === 1) return first.name
  if (!first) throw new CliError(`no salvages in ${directory}: no entries were truncated`)
  const names = found.map((one) => one.name).join(', ')
  throw usage(`there are ${found.length} salvages`, `Name one of them: ${names}`)
}
