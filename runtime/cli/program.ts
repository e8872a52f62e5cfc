/** The `engram` command: its groups and its exit codes. */
import { Command, CommanderError } from 'commander'
import { version } from '../system/version.js'
import { addChaos } from './chaos.js'
import { addCheckpointFiles } from './checkpointFiles.js'
import { connectionLast, Context, exit, hasJsonFlag, usage } from './context.js'
import type { CliIo } from './context.js'
import { endingOf, showEnding } from './errors.js'
import { addEvents } from './events.js'
import { addFate } from './fate.js'
import { addForks } from './forks.js'
import { addHistory } from './history.js'
import { addInspect } from './inspect.js'
import { addJournalFiles } from './journalFiles.js'
import { addMachines } from './machines.js'
import { addNode } from './node.js'
import { addNodeForget } from './nodeForget.js'
import { addNodeList } from './nodeList.js'
import { addOperate } from './operate.js'
import { addPause } from './pause.js'
import { addQuarantine } from './quarantine.js'
import { addRead } from './read.js'
import { addRebalance } from './rebalance.js'
import { addRehearse } from './rehearse.js'
import { addSalvageFiles } from './salvageFiles.js'
import { addSpace } from './space.js'
import { addSpaceDrop } from './spaceDrop.js'
import { addSpaceMembers } from './spaceMembers.js'
import { addSpaceSet } from './spaceSet.js'
import { addStatus } from './status.js'
import { addUp } from './up.js'
import { addWrite } from './write.js'

export function buildProgram(context: Context): Command {
  const program = new Command('engram')
    .description('Replicated memory spaces over NATS, with automatic failover.')
    .version(version, '-V, --version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.io.stdout.write(text),
      writeErr: (text) => context.io.stderr.write(text),
      outputError: (text, write) => {
        if (!context.json) write(text)
      },
    })
    .showSuggestionAfterError(true)
    .configureHelp({ showGlobalOptions: false, groupItems: connectionLast })
    .addHelpText('after', `
First steps:
  engram up                              a cluster of three nodes on this machine
  engram write demo '{"type":"StoreNode","node":{"id":"n1","content":"hello"}}'
  engram read demo get n1
  engram status --watch                  then kill -9 the primary and watch

Exit codes: 0 ok, 1 failed, 2 wrong usage. Help for a command: engram COMMAND --help`)
  program.commandsGroup('Run:')
  addUp(program, context)
  const node = addNode(program, context)
  addNodeList(node, context)
  addNodeForget(node, context)
  program.commandsGroup('Use:')
  addWrite(program, context)
  addRead(program, context)
  program.commandsGroup('Operate:')
  addStatus(program, context)
  const space = addSpace(program, context)
  addSpaceSet(space, context)
  addSpaceMembers(space, context)
  addSpaceDrop(space, context)
  addRebalance(program, context)
  addRehearse(program, context)
  addOperate(program, context)
  addPause(program, context)
  addForks(program, context)
  addFate(program, context)
  addQuarantine(program, context)
  addEvents(program, context)
  addHistory(program, context)
  addInspect(program, context)
  addChaos(program, context)
  program.commandsGroup('Inspect files and charts:')
  addJournalFiles(program, context)
  addSalvageFiles(program, context)
  addCheckpointFiles(program, context)
  addMachines(program, context)
  return program
}

/** Runs a command line (argv without its first two words). Returns its exit code. Never throws. */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  const context = new Context(io, hasJsonFlag(args))
  try {
    await buildProgram(context).parseAsync([...args], { from: 'user' })
    return context.exitCode
  } catch (error) {
    if (error instanceof CommanderError) return endOfUsage(context, error)
    const ending = endingOf(error)
    context.note(showEnding(ending, context.json))
    return ending.exitCode
  }
}

const usageRemedy = 'Help: engram --help, engram COMMAND --help'

/** Exit code after commander's own message. Requested help is no error. */
function endOfUsage(context: Context, error: CommanderError): number {
  if (error.exitCode === 0) return exit.ok
  if (context.json) {
    const message = error.message.replace(/^error: /, '')
    context.note(showEnding(endingOf(usage(message, usageRemedy)), true))
  } else if (error.code !== 'commander.help') context.note(`  ${usageRemedy}`)
  return exit.usage
}
