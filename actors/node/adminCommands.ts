import { messageOf, stackOf } from '../../machines/base/thrown.js'
import type { Assignment, SpaceSettings } from '../../machines/protocol/messages.js'
import { spaceSettingsOf } from '../../machines/protocol/spaceSettings.js'
import { subjects } from '../../machines/protocol/subjects.js'
import { AdminRefusal, patienceMs, spaceNameOf, unknownSpace } from '../ports/adminApi.js'
import type { AdminCommand, Answer } from '../ports/adminApi.js'
import { ArbiterUnavailableError } from '../ports/arbiter.js'
import type { BusMessage } from '../ports/bus.js'
import type { PrimaryRole } from '../primary/primary.js'
import type { AdminNode } from './adminNode.js'
import { createSpace } from './createSpace.js'
import { dropSpace } from './dropSpace.js'
import { forgetNode } from './forgetNode.js'
import { handleForkCommand } from './forkCommands.js'
import { drain, pauseSpace, undrain } from './maintenance.js'
import { changeMembers } from './memberCommands.js'
import { PromoteCommands } from './promoteCommands.js'
import { SpaceList } from './spaceList.js'
import { pause } from '../structures/pause.js'

/** Commands that are carried out at a time; some take seconds. */
const commandsMax = 64
const commandBytesMax = 16 * 1024
/** Time in which a node that a command is passed on to must show that it lives. */
const livingMs = 1000
/** Limit of one list; a name takes 200 bytes at most. */
const actorsMax = 1000
/** Programs ask for these often, so they are logged at level debug. */
const listings: readonly unknown[] = ['listSpaces', 'listActors']

/** Operators' commands (`engram.v1.admin.<node>`). Any node takes them, and forwards them. */
export class AdminCommands {
  /** Commands that are being carried out. */
  private open = 0
  private spaceList: SpaceList | null = null

  constructor(readonly node: AdminNode) {}

  async onMessage(message: BusMessage): Promise<void> {
    const { answers, ports: { logger } } = this.node.context!
    // Nodes forward commands, too.
    const asker = answers.asker(message, 'commands')
    if (!asker) return
    const answer = (said: object): void => answers.answer({ ...asker, encoding: 'json' }, said)
    if (this.open >= commandsMax) {
      return answer(answerOf(new AdminRefusal(
        'OVERLOADED',
        `${commandsMax} commands are being carried out at this node`,
        true,
      )))
    }
    this.open += 1
    try {
      const command = parseCommand(message.data)
      if (listings.includes(command['type'])) logger.debug({ command }, 'operator command')
      else logger.info({ command }, 'operator command')
      answer(await this.handle(command))
    } catch (error) {
      const refusal = refusalOf(error)
      // A bug: both the answer and the log say so.
      if (refusal.code === 'INTERNAL') logger.error({ error: stackOf(error) }, 'a command failed')
      answer(answerOf(refusal))
    } finally {
      this.open -= 1
    }
  }

  private async handle(command: AdminCommand): Promise<Answer> {
    switch (command['type']) {
      case 'createSpace':
        return await this.createSpace(command)
      case 'dropSpace':
        return await dropSpace(this, command, this.patience())
      case 'listSpaces':
        return await this.listSpaces(command)
      case 'promote':
        return await new PromoteCommands(this).promote(command)
      case 'drain':
        return await drain(this.node, command)
      case 'undrain':
        return undrain(this.node, command)
      case 'pause':
      case 'resume':
        return await pauseSpace(
          this.node.context!,
          command,
          command['type'] === 'pause',
          this.patience(),
        )
      case 'reconcile':
        return this.reconcile(command)
      case 'applyQuarantined':
      case 'discardQuarantined':
      case 'closeFork':
        return await this.atPrimary(command, (primary) => handleForkCommand(command, primary))
      case 'setSpace':
        return await this.atPrimary(command, (primary) => setSpace(command, primary))
      case 'changeMembers':
        return await this.atPrimary(command, (primary) => changeMembers(command, primary))
      case 'forgetNode':
        return await forgetNode(this, command)
      case 'listActors':
        return this.listActors(command)
      case 'killActor':
        return this.killActor(command)
      default:
        throw new AdminRefusal('INVALID_OPERATION',
          'type is one of createSpace, dropSpace, listSpaces, promote, drain, undrain, pause, '
            + 'resume, setSpace, changeMembers, reconcile, applyQuarantined, discardQuarantined, '
            + 'closeFork, forgetNode, listActors, killActor')
    }
  }

  /** `after`: number of actors that were listed before. */
  private listActors({ after = 0 }: AdminCommand): Answer {
    this.checkChaos()
    if (!Number.isInteger(after) || (after as number) < 0) {
      throw new AdminRefusal('INVALID_OPERATION', 'after must be a whole number')
    }
    const { ports: { host } } = this.node.context!
    const ids = host.ids()
    const end = after as number + actorsMax
    const actors = ids.slice(after as number, end).filter((id) => host.isRunning(id))
    return { ok: true, actors, ...(end < ids.length && { more: true, after: end }) }
  }

  /** The same as if the actor had thrown: supervision decides what comes next. */
  private killActor(command: AdminCommand): Answer {
    this.checkChaos()
    const { actor } = command
    const { host } = this.node.context!.ports
    if (typeof actor !== 'string' || !host.isRunning(actor)) {
      throw new AdminRefusal('INVALID_OPERATION',
        `no actor ${JSON.stringify(actor)} runs here; listActors shows those that do`, true)
    }
    host.kill(actor, 'killed by an operator')
    return { ok: true, message: `${actor} was killed` }
  }

  private checkChaos(): void {
    if (this.node.allowsChaos) return
    throw new AdminRefusal('CHAOS_NOT_ALLOWED',
      'this node does not let operators kill its actors; start it with --chaos to allow it')
  }

  private async createSpace(command: AdminCommand): Promise<Answer> {
    const space = spaceNameOf(command)
    const answer = await createSpace(
      this.node.context!,
      space,
      settingsOf(command),
      this.patience(),
    )
    if (answer['created'] === true) await this.node.take(space)
    return answer
  }

  private async listSpaces(command: AdminCommand): Promise<Answer> {
    const { records, ports: { clock }, settings } = this.node.context!
    this.spaceList ??= new SpaceList(records, clock, settings.answerBytesMax)
    return await this.spaceList.page(command)
  }

  async recordOf(name: string): Promise<Assignment> {
    const read = await this.node.context!.records.read(name, 'change')
    const record = read.kind === 'present'
      ? read.record
      : read.kind === 'lost'
      ? read.remembered
      : null
    if (read.kind === 'unreadable' || read.kind === 'newer') {
      throw new AdminRefusal('INVALID_OPERATION', read.reason)
    }
    if (!record || record.assignment.state === 'dropped') {
      throw unknownSpace(name, record?.assignment)
    }
    return record.assignment
  }

  /** Carries the command out here if the primary of the space is here; else forwards it. */
  private async atPrimary(
    command: AdminCommand,
    handle: (primary: PrimaryRole) => Promise<Answer>,
  ): Promise<Answer> {
    const name = spaceNameOf(command)
    const role = this.node.spaces.get(name)?.primaryRole
    if (role?.serves) return await handle(role)
    const { primary } = await this.recordOf(name)
    if (!primary || primary.node === this.node.context!.self.node) {
      throw new AdminRefusal('NOT_PRIMARY', `${name} has no primary`, true)
    }
    return await this.passOn(primary.node, command)
  }

  /** Covers the salvages of this node only; each member uploads its own. */
  private reconcile(command: AdminCommand): Answer {
    const name = spaceNameOf(command)
    const space = this.node.spaces.get(name)
    if (space?.member.known.record?.assignment.settings.reconcile === 'off') {
      throw new AdminRefusal('INVALID_OPERATION',
        `${name} does not reconcile salvages: its setting reconcile is off`)
    }
    return { ok: true, started: space?.uploads.uploadNow() ?? false }
  }

  async passOn(
    node: string,
    command: AdminCommand,
    timeoutMs = patienceMs + 2000,
  ): Promise<Answer> {
    if (command['passedOn'] === true) {
      throw new AdminRefusal('NOT_PRIMARY', `${node} is no longer primary`, true)
    }
    const { wire } = this.node.context!
    const data = new TextEncoder().encode(JSON.stringify({ ...command, passedOn: true }))
    let isSent = false
    try {
      // One that hangs would be waited for as long as for the command.
      await wire.request(subjects.ping(node), new Uint8Array(0), { timeoutMs: livingMs })
      isSent = true
      const message = await this.unlessDead(node,
        wire.request(subjects.admin(node), data, { timeoutMs }))
      if (!message) {
        throw new AdminRefusal('NOT_PRIMARY',
          `${node} died, or hangs, while it had the command, which may be carried out: look at the `
            + 'status before you give it again', true)
      }
      const answer = JSON.parse(new TextDecoder().decode(message.data)) as Answer
      if (answer.ok) return answer
      const { code, message: text, retryable, reason } = answer as unknown as AdminRefusal
      throw new AdminRefusal(code, text, retryable, reason)
    } catch (error) {
      if (error instanceof AdminRefusal) throw error
      const then = isSent
        ? ', and may carry the command out: look at the status before you give it again'
        : ''
      throw new AdminRefusal('NOT_PRIMARY', `${node} does not answer (${messageOf(error)})${then}`,
        true)
    }
  }

  /** The answer of the node, or null when it is found dead before that. */
  private async unlessDead<T>(node: string, asked: Promise<T>): Promise<T | null> {
    const { peers, ports: { clock } } = this.node.context!
    let isSettled = false
    const settled = (): void => {
      isSettled = true
    }
    asked.then(settled, settled)
    while (!isSettled) {
      if (peers.isProvenDead(node) || peers.isGrantExpired(node)) return null
      await pause(clock, 10)
    }
    return await asked
  }

  /** Returns whether an operator still waits for a command that begins now. */
  private patience(): () => boolean {
    const { clock } = this.node.context!.ports
    const limit = clock.monotonicMs() + patienceMs
    return () => clock.monotonicMs() < limit
  }

  async until(isDone: () => boolean): Promise<boolean> {
    const { clock } = this.node.context!.ports
    const limit = clock.monotonicMs() + patienceMs
    while (!isDone()) {
      if (clock.monotonicMs() > limit) return false
      await pause(clock, 10)
    }
    return true
  }
}

function refusalOf(error: unknown): AdminRefusal {
  if (error instanceof AdminRefusal) return error
  if (error instanceof ArbiterUnavailableError) {
    return new AdminRefusal('ARBITER_UNAVAILABLE', error.message, true)
  }
  return new AdminRefusal('INTERNAL', String(error), true)
}

function answerOf({ code, message, retryable, reason }: AdminRefusal): object {
  return { ok: false, code, message, retryable, ...(reason && { reason }) }
}

function parseCommand(data: Uint8Array): AdminCommand {
  if (data.length > commandBytesMax) {
    throw new AdminRefusal('PAYLOAD_TOO_LARGE', `a command takes ${commandBytesMax} bytes at most`)
  }
  try {
    const command: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data))
    if (typeof command === 'object' && command !== null && !Array.isArray(command)) {
      return command as AdminCommand
    }
  } catch {
    // Refused below, like every other payload that is not a command.
  }
  throw new AdminRefusal('INVALID_OPERATION', 'a command must be a JSON object with a type')
}

function settingsOf(command: AdminCommand): SpaceSettings {
  const settings = spaceSettingsOf(command)
  if (typeof settings !== 'string') return settings
  throw new AdminRefusal('INVALID_OPERATION', settings)
}

/** The present settings with the given ones changed, at every depth; null removes one. */
function changed(present: AdminCommand, asked: AdminCommand): AdminCommand {
  const next = { ...present }
  for (const [name, value] of Object.entries(asked)) {
    const isObject = typeof value === 'object' && value !== null
    const inner = isObject
      ? changed(next[name] as AdminCommand ?? {}, value as AdminCommand)
      : value
    const isEmpty = isObject && Object.keys(inner as AdminCommand).length === 0
    if (inner === null || isEmpty) delete next[name]
    else next[name] = inner
  }
  return next
}

async function setSpace(command: AdminCommand, primary: PrimaryRole): Promise<Answer> {
  const { settings: asked } = command
  if (typeof asked !== 'object' || asked === null || Array.isArray(asked)) {
    throw new AdminRefusal('INVALID_OPERATION',
      'settings must be an object of the settings to change')
  }
  if ('replicas' in asked) {
    throw new AdminRefusal('INVALID_OPERATION', 'replicas cannot be changed')
  }
  const settings = await primary.changeSettings((present) =>
    settingsOf(changed({ ...present }, { ...asked }))
  )
  return { ok: true, settings }
}
