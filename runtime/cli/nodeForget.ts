/** engram node forget */
import type { Command } from 'commander'
import { nameFault } from '../../machines/protocol/subjects.js'
import { AdminError } from '../client/errors.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, exit, jsonOption, RemediedError, usage } from './context.js'
import type { Action, Context } from './context.js'
import { requester } from './pause.js'

interface ForgetFlags extends ConnectionFlags {
  readonly json?: boolean
}

/** @param node the command `engram node` */
export function addNodeForget(node: Command, context: Context): void {
  connectionOptions(node.command('forget').argument('<node>'))
    .summary('drop a node that is gone for good from lists')
    .description('Has all nodes forget a node that is gone for good: it is not listed any more, '
      + 'and does not count when half of the nodes are missing. Refused while it lives, or is a '
      + 'member of a space. If it comes back after all, it is listed again.')
    .addOption(jsonOption())
    .addHelpText('after', `
Example:
  engram node forget n3`)
    // `engram node` has these options, too, and takes them first.
    .action(
      context.act((name: string, _flags: ForgetFlags, command: Command) =>
        forget(context, name, command.optsWithGlobals())
      ),
    )
}

async function forget(context: Context, node: string, flags: ForgetFlags): Promise<Action> {
  const fault = nameFault(node)
  if (fault) throw usage(`invalid node name: ${fault}`, 'List nodes: engram node list')
  return await context.withClient(flags, async (client) => {
    const answer = await client.admin({ type: 'forgetNode', node, by: requester() })
      .catch((error: unknown) => {
        throw remedied(error, node)
      })
    const { missed = [], message = `${node} is forgotten` } = answer
    if (flags.json) context.printJson(answer)
    else context.print(message)
    if (missed.length === 0) return exit.ok
    for (const one of missed) context.note(`${one.node} may still list it: ${one.reason}`)
    context.note(`Run engram node forget ${node} again when they answer.`)
    return exit.failed
  })
}

function remedied(error: unknown, node: string): unknown {
  if (!(error instanceof AdminError)) return error
  if (error.reason === 'alive') {
    return new RemediedError(error, `To switch it off for good: engram drain ${node} --evacuate `
      + '--stop. If its process has just ended, wait for some seconds.')
  }
  if (error.reason !== 'holder') return error
  return new RemediedError(error, 'Let another node take its place in each of them: engram space '
    + `members SPACE --replace ${node}=NEW. Or let fewer members remain: --remove ${node} --yes`)
}
