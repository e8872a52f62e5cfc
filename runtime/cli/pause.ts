/** engram pause | resume */
import { hostname, userInfo } from 'node:os'
import type { Command } from 'commander'
import type { EngramClient } from '../client/client.js'
import { AdminError } from '../client/errors.js'
import type { ConnectionFlags } from '../config/sources.js'
import { connectionOptions, exit, jsonOption, usage } from './context.js'
import type { Action, Context } from './context.js'
import { checkSpaceName } from './space.js'

interface PauseFlags extends ConnectionFlags {
  readonly all?: boolean
  readonly json?: boolean
}

type Kind = 'pause' | 'resume'

export function addPause(program: Command, context: Context): void {
  connectionOptions(program.command('pause').argument('[space]'))
    .summary('pause the automatic failover of a space')
    .description('While a space is paused no other member takes over by itself, even if its '
      + 'primary is gone; after a restart the same primary goes on. The commands engram promote '
      + 'and drain still work. The pause lasts until engram resume, over restarts; engram '
      + 'status shows it.')
    .option('--all', 'every space')
    .addOption(jsonOption())
    .addHelpText('after', `
Examples:
  engram pause demo
  engram pause --all && sudo systemctl restart nats-server && engram resume --all`)
    .action(
      context.act((space: string | undefined, flags: PauseFlags) =>
        change(context, 'pause', space, flags)
      ),
    )
  connectionOptions(program.command('resume').argument('[space]'))
    .summary('make the failover of a space automatic again')
    .description('Makes failover automatic again. A space without a primary gets one at once.')
    .option('--all', 'every space')
    .addOption(jsonOption())
    .action(
      context.act((space: string | undefined, flags: PauseFlags) =>
        change(context, 'resume', space, flags)
      ),
    )
}

/** The user of this machine, shown as the one who gave the command. */
export function requester(): string {
  try {
    return `${userInfo().username}@${hostname()}`.slice(0, 128)
  } catch {
    // The user has no entry, as in some containers.
    return hostname().slice(0, 128)
  }
}

async function change(
  context: Context,
  type: Kind,
  space: string | undefined,
  flags: PauseFlags,
): Promise<Action> {
  if ((space === undefined) === (flags.all !== true)) {
    throw usage(`${type} needs a space or --all`,
      `Use engram ${type} SPACE or engram ${type} --all.`)
  }
  if (space !== undefined) checkSpaceName(space)
  return await context.withClient(flags, async (client) => {
    if (space !== undefined) {
      const answer = await client.admin({ type, space, by: requester() })
      if (flags.json) context.printJson(answer)
      else context.print(answer.message ?? `${space}: ${type}d`)
      return exit.ok
    }
    return await changeAll(context, client, type, flags)
  })
}

/** Changes spaces one after the other, also after a failure. */
async function changeAll(
  context: Context,
  client: EngramClient,
  type: Kind,
  flags: PauseFlags,
): Promise<Action> {
  const { spaces, unreadable } = await client.listSpaces()
  const results: object[] = []
  let failures = 0
  const failed = (space: string, code: string, message: string): void => {
    failures += 1
    results.push({ space, ok: false, code, message })
    if (!flags.json) context.note(`${space}: ${message} [${code}]`)
  }
  for (const { space } of spaces) {
    try {
      const answer = await client.admin({ type, space, by: requester() })
      results.push({ space, ok: true, paused: answer.paused ?? null, changed: answer.changed })
      if (!flags.json) context.print(answer.message ?? `${space}: ${type}d`)
    } catch (error) {
      if (!(error instanceof AdminError)) throw error
      failed(space, error.code, error.message)
    }
  }
  // The nodes refuse such a space with the same code.
  for (const { space, reason } of unreadable) failed(space, 'INVALID_OPERATION', reason)
  if (flags.json) context.printJson({ spaces: results })
  else if (results.length === 0) context.note('no spaces')
  return failures === 0 ? exit.ok : exit.failed
}
