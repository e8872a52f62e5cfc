/** engram salvage list | show | remove: on files, needs no cluster. */
import { once } from 'node:events'
import type { Command } from 'commander'
import type { SalvageFiles } from '../../actors/ports/journal.js'
import { messageOf } from '../../machines/base/thrown.js'
import { showPosition } from '../../machines/log/positions.js'
import type { KeptFile } from '../checkpoint/kept.js'
import { CliError, usage } from './context.js'
import type { Context } from './context.js'
import { directoryCommand, type JsonFlag } from './directories.js'
import { salvagesIn, type Folder } from './salvageFolder.js'
import { addSalvageRemove } from './salvageRemove.js'
import { showBytes, showCount, showValue, table } from './text.js'

export function addSalvageFiles(program: Command, context: Context): void {
  const salvage = program.command('salvage')
    .summary('read and remove salvage files, which keep truncated entries')
    .description('A salvage keeps the entries of a fork: entries of an epoch that ended before '
      + 'they were replicated. (MongoDB calls it a rollback file.)')
  directoryCommand(salvage, 'list', 'list the salvage files of a node',
    'Lists the salvage files of a node, with the fork that each one holds, and the checkpoints '
      + 'that are kept for entries that no salvage has.')
    .action(context.act((dir: string, flags: JsonFlag) => list(context, dir, flags)))
  directoryCommand(salvage, 'show', 'print the entries of a salvage file',
    'Prints the entries of a salvage file. Their {"operations":[…]} can be written again. Of a '
      + 'checkpoint that is kept beside one it prints nodes and edges, one operation a line.')
    .argument('[name]', 'name as salvage list shows it (default: the only salvage)')
    .action(
      context.act((dir: string, name: string | undefined, flags: JsonFlag) =>
        show(context, dir, name, flags)
      ),
    )
  addSalvageRemove(salvage, context)
}

async function list(context: Context, node: string, flags: JsonFlag): Promise<void> {
  const folder = await salvagesIn(context, node)
  const salvages = await folder.salvages.list()
  const readable = new Set(salvages.map(({ name }) => name))
  const unreadable = (await folder.salvages.names()).filter((name) => !readable.has(name))
  const { keptFiles } = await import('../checkpoint/kept.js')
  const kept = await keptFiles(folder, await folder.salvages.kept())
  if (flags.json) {
    return context.printJson({ salvages, unreadable, checkpoints: kept.files,
      unusable: kept.unusable })
  }
  for (const { reason } of kept.unusable) context.note(reason)
  if (salvages.length === 0 && unreadable.length === 0) {
    context.note(`no salvages wait in ${node}`)
  }
  if (salvages.length > 0) context.print(salvageTable(salvages))
  if (kept.files.length > 0) context.print(keptTable(kept.files))
}

function salvageTable(salvages: Awaited<ReturnType<SalvageFiles['list']>>): string {
  return table(
    ['NAME', 'SPACE', 'ENTRIES', 'SIZE', 'AFTER', 'TO', 'MISSING', 'JOINED EPOCH', 'SAVED'],
    salvages.map(({ name, header, entries, bytes }) => [
      name,
      header.space,
      showCount(entries),
      showBytes(bytes),
      showPosition(header.common),
      showPosition(header.end),
      header.missing ? `${header.common.sequence + 1} to ${header.missing.begins - 1}` : '-',
      String(header.joinedEpoch),
      new Date(header.savedAtMs).toISOString(),
    ]),
  )
}

function keptTable(files: readonly KeptFile[]): string {
  return table(
    ['KEPT CHECKPOINT', 'SPACE', 'SIZE', 'AS OF', 'WRITTEN'],
    files.map(({ name, space, bytes, position, writtenAtMs }) => [
      name,
      space,
      showBytes(bytes),
      showPosition(position),
      new Date(writtenAtMs).toISOString(),
    ]),
  )
}

async function show(
  context: Context,
  directory: string,
  name: string | undefined,
  flags: JsonFlag,
): Promise<void> {
  const folder = await salvagesIn(context, directory)
  const { salvages: files } = folder
  const chosen = name ?? await onlyOne(files, directory)
  if (chosen.endsWith('.checkpoint')) return await showKept(context, folder, chosen, flags)
  const { entriesOf } = await import('../journal/salvage.js')
  const source = await files.open(chosen)
  const { header } = source
  await source.close()
  if (!flags.json) context.print(showValue(header).replace(/^\n/, ''))
  await printed(context, entriesOf(files, chosen), flags,
    `{"header":${JSON.stringify(header)},"entries":[`)
}

/** Nodes and edges of a checkpoint, as operations that can be written again. */
async function showKept(
  context: Context,
  folder: Folder,
  name: string,
  flags: JsonFlag,
): Promise<void> {
  if (!(await folder.salvages.kept()).includes(name)) {
    throw new CliError(`there is no checkpoint ${name}`)
  }
  const { keptFiles, operationsIn } = await import('../checkpoint/kept.js')
  const { files: [file], unusable: [fault] } = await keptFiles(folder, [name])
  if (!file) throw new CliError(fault!.reason)
  await printed(context, operationsIn(folder, name), flags,
    `{"checkpoint":${JSON.stringify(file)},"operations":[`)
}

/** Printed while it is read, since it may be larger than memory. */
async function printed(
  context: Context,
  values: AsyncIterable<object>,
  flags: JsonFlag,
  begin: string,
): Promise<void> {
  let before = begin
  let fault = ''
  try {
    for await (const value of values) {
      const text = JSON.stringify(value)
      await written(context, flags.json ? `${before}${text}` : `${text}\n`)
      before = ','
    }
  } catch (error) {
    fault = `,"error":${JSON.stringify(messageOf(error))}`
    throw error
  } finally {
    // The document is always complete: what could be read, and the error of the rest.
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
  if (!first) throw new CliError(`no salvages wait in ${directory}`)
  const names = found.map((one) => one.name).join(', ')
  throw usage(`there are ${found.length} salvages`, `Name one of them: ${names}`)
}
