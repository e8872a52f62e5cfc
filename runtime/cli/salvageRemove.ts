/** engram salvage remove */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { amountText, countText } from '../../machines/base/units.js'
import { CliError, exit, usage } from './context.js'
import type { Action, Context } from './context.js'
import { directoryCommand, type JsonFlag } from './directories.js'
import { salvagesIn, type Folder } from './salvageFolder.js'
import { showBytes, table } from './text.js'

interface RemoveFlags extends JsonFlag {
  readonly all?: boolean
  readonly yes?: boolean
}

interface Chosen {
  readonly name: string
  readonly bytes: number
  /** Entries that no log may have yet; null: a checkpoint, or it cannot be read. */
  readonly entries: number | null
}

/** @param salvage the command `engram salvage` */
export function addSalvageRemove(salvage: Command, context: Context): void {
  directoryCommand(salvage, 'remove', 'remove salvages that nobody wants any more',
    'Removes salvage files of a node, and checkpoints that are kept beside them. A salvage is '
      + 'removed by itself when its writes are in the log: one that is here still waits for that, '
      + 'and its entries are lost with it. So without --yes it shows what would go, names the '
      + 'command that removes just these (the node may run, and more may come), and exits with 2.')
    .argument('[names...]', 'names as salvage list shows them')
    .option('--all', 'all that are there at that moment')
    .option('--yes', 'do it')
    .addHelpText('after', `
Examples:
  engram salvage remove /srv/engram/n1 --all     # shows what would go
  engram salvage remove /srv/engram/n1 demo.0b1f0c11.2-1400.4-5230.salvage --yes`)
    .action(
      context.act((dir: string, names: readonly string[], flags: RemoveFlags) =>
        remove(context, dir, names, flags)
      ),
    )
}

async function remove(
  context: Context,
  directory: string,
  names: readonly string[],
  flags: RemoveFlags,
): Promise<Action> {
  if (names.length === 0 && !flags.all) {
    throw usage('nothing to remove', `Name files, or --all. List: engram salvage list ${directory}`)
  }
  const folder = await salvagesIn(context, directory)
  const chosen = await chosenOf(folder, flags.all ? null : names)
  const isDone = flags.yes ?? false
  if (!flags.json && chosen.length > 0) context.print(chosenTable(chosen))
  if (isDone) { for (const { name } of chosen) await folder.salvages.remove(name) }
  const others = await othersThan(folder, chosen)
  if (flags.json) context.printJson({ removed: isDone, files: chosen, others })
  else note(context, directory, chosen, others, isDone)
  return isDone || chosen.length === 0 ? exit.ok : exit.usage
}

/** Names of files that are there and were not chosen: they may have come meanwhile. */
async function othersThan(folder: Folder, chosen: readonly Chosen[]): Promise<string[]> {
  const names = new Set(chosen.map(({ name }) => name))
  return (await namesIn(folder)).filter((name) => !names.has(name))
}

async function namesIn({ salvages }: Pick<Folder, 'salvages'>): Promise<string[]> {
  return [...await salvages.names(), ...await salvages.kept()]
}

/** `names` null: all. A node that runs may remove some meanwhile. */
export async function chosenOf(
  { salvages, directory }: Folder,
  names: readonly string[] | null,
): Promise<Chosen[]> {
  const there = await namesIn({ salvages })
  const missing = names?.find((name) => !there.includes(name))
  if (missing !== undefined) {
    throw new CliError(`there is no file ${missing}`, 'Nothing was removed.')
  }
  const entries = new Map((await salvages.list()).map((one) => [one.name, one.entries]))
  return [...new Set(names ?? there)].flatMap((name) => {
    const file = statSync(join(directory, name), { throwIfNoEntry: false })
    return file ? [{ name, bytes: file.size, entries: entries.get(name) ?? null }] : []
  })
}

function chosenTable(chosen: readonly Chosen[]): string {
  return table(['NAME', 'SIZE', 'ENTRIES'], chosen.map(({ name, bytes, entries }) => [
    name,
    showBytes(bytes),
    entries === null ? '-' : countText(entries),
  ]))
}

function note(
  context: Context,
  directory: string,
  chosen: readonly Chosen[],
  others: readonly string[],
  isDone: boolean,
): void {
  if (chosen.length === 0) return context.note('there are none')
  const kept = amountText(others.length, 'other file')
  if (isDone) {
    context.note(`${amountText(chosen.length, 'file')} removed`)
    if (others.length > 0) context.note(`${kept} kept: engram salvage list ${directory}`)
    return
  }
  const lost = chosen.reduce((sum, { entries }) => sum + (entries ?? 0), 0)
  if (lost > 0) {
    context.note('waiting to be taken into the log (engram forks), and lost then: '
      + amountText(lost, 'entry', 'entries'))
  }
  const names = chosen.map(({ name }) => name).join(' ')
  context.note('nothing was removed. To remove these, and no others that have come meanwhile:\n'
    + `  engram salvage remove ${directory} ${names} --yes`)
}
