import type { NodeId } from '../../machines/base/ids.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { CheckpointAnswer,
  CheckpointRequest } from '../../machines/protocol/installMessages.js'
import { checkpointVersion } from '../../machines/protocol/messages.js'
import { spaceOf } from '../../machines/protocol/subjects.js'
import { noteUnusable } from '../checkpoints/unusable.js'
import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { ReplyTarget } from '../messaging/answers.js'
import type { BusMessage } from '../ports/bus.js'
import { CheckpointDamagedError, type SectionReader,
  type StoredSection } from '../ports/checkpoints.js'
import { pause } from '../structures/pause.js'
import { SendRate } from './sendRate.js'

export interface CheckpointSourceOptions {
  readonly context: NodeContext
  readonly member: (space: string) => Member | undefined
  /** Called when a member needs a newer checkpoint of a space than there is. */
  readonly onWanted: (member: Member) => void
}

/** Members that are served at a time. */
const servedMax = 2
/** A checkpoint is closed after so long without a chunk. */
const silentMsMax = 30_000
/** Chunks that wait for one member; a member asks for two at a time. */
const waitingMax = 4

interface Open {
  readonly node: NodeId
  readonly space: string
  readonly reader: SectionReader
  lastMs: number
  waiting: number
}

/**
 * Gives checkpoints to members that have to be installed. They ask chunk by chunk, and get them as
 * fast as this node can do without harm to writes. In memory are the chunks that are being sent.
 */
export class CheckpointSource {
  /** By member and space: what it opens last replaces what it had. */
  private readonly opened = new Map<string, Open>()
  private readonly rate: SendRate
  private isStopped = false

  constructor(private readonly options: CheckpointSourceOptions) {
    this.rate = new SendRate(options.context)
  }

  onMessage(message: BusMessage): void {
    const { answers, ports } = this.options.context
    const decoded = ports.control.checkpointRequest(message.data)
    if (!decoded.ok) return ports.telemetry.count('badMessages', 1, { kind: 'checkpoint' })
    const asker = answers.asker(message, 'checkpoints')
    if (!asker?.reply) return
    this.handle(spaceOf(message.subject), decoded.value, asker).catch((error: unknown) => {
      ports.logger.warn({ error: messageOf(error) }, 'a checkpoint cannot be sent')
      this.answer(asker, { kind: 'refused', reason: messageOf(error) })
    })
  }

  private async handle(
    space: string,
    request: CheckpointRequest,
    asker: ReplyTarget,
  ): Promise<void> {
    if (request.kind === 'open') return this.answer(asker, await this.open(space, request))
    const name = nameOf(request.node, space)
    const open = this.opened.get(name)
    if (request.kind === 'close') {
      if (open?.reader.section.id === request.id) await this.close(name)
      return this.answer(asker, { kind: 'closed' })
    }
    if (open?.reader.section.id !== request.id) return this.answer(asker, { kind: 'gone' })
    // What is dropped is asked for again.
    if (open.waiting < waitingMax) await this.send(open, request, asker)
  }

  private async open(
    space: string,
    request: CheckpointRequest & { kind: 'open' },
  ): Promise<CheckpointAnswer> {
    const member = this.options.member(space)
    const refusal = this.refusal(member, request)
    if (!member || refusal !== null) return { kind: 'refused', reason: refusal ?? 'no such space' }
    const section = this.sectionFor(member, request)
    if (!section) return this.none(member)
    const name = nameOf(request.node, space)
    const before = this.opened.get(name)
    if (before?.reader.section.id !== section.id) {
      await this.close(name)
      const reader = await this.readerOf(section)
      if (!reader) return this.none(member)
      // Another one may have been opened meanwhile.
      const busy = this.busyReason(name)
      if (busy !== null) {
        await reader.close()
        return { kind: 'refused', reason: busy }
      }
      await this.close(name)
      this.opened.set(name, { node: request.node, space, reader, lastMs: this.now(), waiting: 0 })
    }
    const { reader } = this.opened.get(name)!
    const { id, position } = reader.section
    return { kind: 'opened', id, position, bytes: reader.fileBytes }
  }

  /** Null: it is damaged, and does not count from now on. */
  private async readerOf(section: StoredSection): Promise<SectionReader | null> {
    const { context } = this.options
    try {
      return await context.ports.checkpoints.open(section)
    } catch (error) {
      if (!(error instanceof CheckpointDamagedError)) throw error
      noteUnusable(context, section, error)
      return null
    }
  }

  private refusal(
    member: Member | undefined,
    { uuid, formats, node }: CheckpointRequest & { kind: 'open' },
  ): string | null {
    if (member?.uuid !== uuid) return 'this node does not have that space'
    if (member.damage !== null) return 'the log here is damaged'
    if (member.rebuilding !== null) return 'the store here is being rebuilt'
    if (member.following.isSwitching) return 'this member is being installed itself'
    if (formats < checkpointVersion) {
      return `checkpoints here have format ${checkpointVersion}, and it reads up to ${formats}: `
        + 'upgrade it'
    }
    return this.busyReason(nameOf(node, member.space))
  }

  private busyReason(name: string): string | null {
    if (this.isStopped) return 'this node stops'
    return this.opened.has(name) || this.opened.size < servedMax
      ? null
      : `it serves ${servedMax} other installs`
  }

  /** One of those that count; if possible the one of which the member has a part. */
  private sectionFor(
    { uuid }: Member,
    { minimum, id }: CheckpointRequest & { kind: 'open' },
  ): StoredSection | null {
    const { journal, checkpoints } = this.options.context.ports
    const kept = (journal.log(uuid)?.covers.kept ?? [])
      .filter(({ position }) => position.sequence >= minimum)
    const chosen = kept.find((one) => one.id === id) ?? kept.at(-1)
    return chosen ? checkpoints.find(uuid, chosen) : null
  }

  private none(member: Member): CheckpointAnswer {
    this.options.onWanted(member)
    const { journal, checkpoints } = this.options.context.ports
    const kept = journal.log(member.uuid)?.covers.kept.at(-1)
    const newest = kept && checkpoints.find(member.uuid, kept)
    const unusable = kept ? 'its newest checkpoint cannot be used' : 'it has no checkpoint yet'
    return {
      kind: 'none',
      newest: newest?.position.sequence ?? 0,
      reason: newest ? `its newest checkpoint is as of ${newest.position.sequence}` : unusable,
    }
  }

  private async send(
    open: Open,
    { offset, bytes }: CheckpointRequest & { kind: 'chunk' },
    asker: ReplyTarget,
  ): Promise<void> {
    const { ports } = this.options.context
    open.waiting += 1
    open.lastMs = this.now()
    try {
      const waitMs = this.rate.take(bytes)
      if (waitMs > 0) await pause(ports.clock, waitMs)
      const { reader } = open
      const data = await reader.read(offset, bytes)
      open.lastMs = this.now()
      this.options.context.answers.answer(asker,
        ports.control.chunk(reader.section.id, offset, data))
    } finally {
      open.waiting -= 1
    }
  }

  /** Called once per heartbeat. */
  tick(): void {
    this.rate.tick()
    for (const [name, { lastMs }] of this.opened) {
      if (this.now() - lastMs > silentMsMax) void this.close(name)
    }
  }

  /** Number of members that are served. */
  get served(): number {
    return this.opened.size
  }

  /** Opens nothing any more. Resolves when no file is open. */
  async stop(): Promise<void> {
    this.isStopped = true
    await Promise.all([...this.opened.keys()].map((name) => this.close(name)))
  }

  private async close(name: string): Promise<void> {
    const open = this.opened.get(name)
    if (!open) return
    this.opened.delete(name)
    await open.reader.close()
  }

  private answer(asker: ReplyTarget, answer: CheckpointAnswer): void {
    const { answers, ports } = this.options.context
    answers.answer(asker, ports.control.encode(answer))
  }

  private now(): number {
    return this.options.context.ports.clock.monotonicMs()
  }
}

function nameOf(node: NodeId, space: string): string {
  return `${space} ${node}`
}
