/** engram salvage list | show: reads files, needs no cluster. */
import { once } from 'node:events'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { SalvageFiles } from '../../actors/ports/journal.js'
import type { Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import { CliError, usage } from './context.js'
import type { Context } from './context.js'
import { checkNodeDirectory, directoryCommand, type JsonFlag } from './directories.js'
import { showBytes, showCount, showValue, table } from './text.js'

export function addSalvageFiles(program: Command, context: Context): void {
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

// The storage code is loaded lazily, since no other client command needs it.

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
