/** engram journal verify | dump, engram salvage list | show: over files, without a cluster. */
import { existsSync } from 'node:fs'
import { Command } from 'commander'
import { CliError, exit, jsonOption, usage } from './context.js'
import type { Action, Context } from './context.js'
import { showValue } from './text.js'

/** A report is shown as it is; `ok: false` in it fails the command. */
type Inspect = (directory: string, ...rest: unknown[]) => unknown

interface JsonFlag {
  readonly json?: boolean
}

export function addFiles(program: Command, context: Context): void {
  const journal = program.command('journal').summary('look into the journal of a node')
    .description('Reads the files of a journal and changes nothing.')
  const add = (to: Command, name: string, summary: string, run: (dir: string, flags: JsonFlag) =>
    Promise<Action>): Command =>
    to.command(name).summary(summary).description(`${summary[0]?.toUpperCase()}${summary.slice(1)}.`)
      .argument('<dir>', 'data directory of the node').addOption(jsonOption())
      .action(context.act(run))
  add(journal, 'verify', 'check every record; exits 1 when one is damaged',
    (dir, flags) => inspect(context, 'verifyJournal', dir, flags))
  add(journal, 'dump', 'print the records, with --json one a line',
    (dir, flags) => inspect(context, 'dumpJournal', dir, flags))
  const salvage = program.command('salvage').summary('look into what members had to truncate')
    .description('A salvage keeps the entries of a fork: written under a reign that ended before '
      + 'they were replicated.')
  add(salvage, 'list', 'list the salvage files of a node',
    (dir, flags) => inspect(context, 'listSalvages', dir, flags))
  salvage.command('show').summary('print the entries of a salvage file')
    .description('Prints the entries of a salvage file, with --json one a line.')
    .argument('<dir>', 'data directory of the node')
    .argument('[name]', 'as salvage list shows it (default: the only one)')
    .addOption(jsonOption())
    .action(context.act((dir: string, name: string | undefined, flags: JsonFlag) =>
      inspect(context, 'showSalvage', dir, flags, name)))
}

async function inspect(
  context: Context, what: string, directory: string, flags: JsonFlag, ...rest: unknown[]
): Promise<Action> {
  if (!existsSync(directory)) {
    throw usage(`there is no ${directory}`, 'Name the data directory of a node: .engram/n1')
  }
  const report = await (await inspector(what))(directory, ...rest)
  if (isAsyncIterable(report)) {
    for await (const item of report) print(context, item, flags)
    return exit.ok
  }
  print(context, report, flags)
  return failing(report) ? exit.failed : exit.ok
}

/** Loaded late: it brings the storage code, which no other command of the client needs. */
async function inspector(what: string): Promise<Inspect> {
  const path = new URL('../journal/inspect.js', import.meta.url).href
  const found = ((await import(path)) as Record<string, unknown>)[what]
  if (typeof found === 'function') return found as Inspect
  throw new CliError(`this build cannot do that: journal/inspect has no ${what}`)
}

function print(context: Context, report: unknown, flags: JsonFlag): void {
  if (flags.json) context.printJson(report)
  else if (typeof report === 'string') context.print(report)
  else context.print(showValue(report).replace(/^\n/, ''))
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function failing(report: unknown): boolean {
  return typeof report === 'object' && report !== null && 'ok' in report && report.ok === false
}
