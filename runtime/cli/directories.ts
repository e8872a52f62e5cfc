/** Data directories, as arguments of commands that read their files. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { jsonOption, usage } from './context.js'

export interface JsonFlag {
  readonly json?: boolean
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

export function checkDirectory(directory: string): void {
  if (existsSync(directory)) return
  throw usage(`${directory} does not exist`,
    'Name the data directory of a node, such as .engram/n1')
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
