/** Shared by the tests of the actors: a journal behind gates, one space's data path. */
import { elapsedMs } from '../../machines/election/grants.js'
import { decode } from '@msgpack/msgpack'
import { GroupCommit } from '../../actors/log/groupCommit.js'
import { SpaceLog } from '../../actors/log/spaceLog.js'
import { Lease } from '../../actors/membership/lease.js'
import { Answers } from '../../actors/messaging/answers.js'
import type { AnswersOptions } from '../../actors/messaging/answers.js'
import { Overlay } from '../../actors/overlay/overlay.js'
import type { SideWay, BusMessage } from '../../actors/ports/bus.js'
import type { ErrorAnswer, WriteAnswer } from '../../actors/ports/clientApi.js'
import type { Frame } from '../../actors/ports/frames.js'
import { JournalFullError } from '../../actors/ports/journal.js'
import type { RemovableSegment } from '../../machines/log/retention.js'
import type { Journal, JournalLog, JournalRecord } from '../../actors/ports/journal.js'
import { defaultSettings } from '../../actors/ports/defaultSettings.js'
import type { ActorSettings } from '../../actors/ports/defaultSettings.js'
import type { Logger, Telemetry } from '../../actors/ports/system.js'
import { Ingest } from '../../actors/primary/ingest.js'
import type { EpochFacts } from '../../actors/primary/primaryEpoch.js'
import { PendingView } from '../../actors/primary/pendingView.js'
import { WriteAnswers } from '../../actors/primary/writeAnswers.js'
import { WriteBuffer } from '../../actors/primary/writeBuffer.js'
import { Budget } from '../../actors/structures/budget.js'
import { WorkQueue } from '../../actors/structures/workQueue.js'
import type { SpaceSettings } from '../../machines/protocol/messages.js'
import { createClientCodec } from '../../runtime/codec/clientCodec.js'
import { createFrameCodec } from '../../runtime/codec/frames.js'
import { MemorySpaceStore } from '../fakes/memoryStore.js'
import { VirtualClock } from '../fakes/virtualClock.js'

export const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}
export const noTelemetry: Telemetry = { count: () => undefined, observe: () => undefined }
export const codec = createFrameCodec()
export const clients = createClientCodec()
export const uuid = '00000000-0000-4000-8000-000000000001'

export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i += 1) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Writes and syncs wait for the test when `holds` says so. */
export class GateJournal implements Journal {
  readonly id = 'gate'
  readonly recovery = {
    segments: 0,
    segmentsRead: 0,
    bytes: 0,
    records: 0,
    ms: 0,
    torn: null,
    damaged: [],
  }
  readonly flushes: (readonly JournalRecord[])[] = []
  readonly steps: string[] = []
  holdsWrites = false
  holdsSyncs = false
  failures = 0
  /** Their cause. */
  failure: Error | undefined
  syncError: Error | null = null
  private waiting: (() => void)[] = []

  logs(): readonly JournalLog[] {
    return []
  }

  log(): undefined {
    return undefined
  }

  dropped(): readonly string[] {
    return []
  }

  forgetDrop(): void {}

  async write(records: readonly JournalRecord[]): Promise<void> {
    if (this.holdsWrites) await this.gate()
    if (this.failures > 0) {
      this.failures -= 1
      this.steps.push('full')
      throw new JournalFullError('no space left', this.failure)
    }
    this.flushes.push(records)
    this.steps.push('written')
  }

  async sync(): Promise<void> {
    if (this.holdsSyncs) await this.gate()
    if (this.syncError) throw this.syncError
    this.steps.push('synced')
  }

  /** Lets what waits go on, and what follows from it. */
  async release(): Promise<void> {
    for (const go of this.waiting.splice(0)) go()
    await settle()
  }

  async read(id: string, from: number): Promise<Frame[]> {
    const frames = this.flushes.flat().flatMap((
      record,
    ) => (record.type === 'frame' && record.frame.uuid === id ? [record.frame] : []))
    return frames.filter((frame) => frame.last >= from)
  }

  segments(): [] {
    return []
  }

  useOf(): RemovableSegment {
    return { spaces: [], unreadSpaces: [], isUnread: false }
  }

  async remove(): Promise<boolean> {
    return false
  }

  stats(): { segments: number; bytes: number; flush: number; indexBytes: number } {
    return { segments: 1, bytes: 0, flush: this.flushes.length, indexBytes: 0 }
  }

  async close(): Promise<void> {}

  private gate(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve))
  }
}

export function commitsOver(
  journal: Journal,
  clock: VirtualClock,
  over: Partial<ConstructorParameters<
    typeof GroupCommit
  >[0]> = {},
): GroupCommit {
  return new GroupCommit({
    journal,
    clock,
    logger: quiet,
    telemetry: noTelemetry,
    flushBytesMax: 1 << 20,
    idleConfirmMs: 100,
    onSyncFailed: () => undefined,
    onFull: () => undefined,
    onHealed: () => undefined,
    hasRoom: () => Promise.resolve(true),
    ...over,
  })
}

/** For steps of which none is to fail. */
export function rethrow(error: unknown): never {
  throw error
}

/** Answers as a node gives them; each one sent is reported; other nodes cannot be reached. */
export function answersOver(
  clock: VirtualClock,
  publish: (to: string, data: Uint8Array, way?: SideWay) => void,
  over: Partial<AnswersOptions> & { readonly maxPayload?: number } = {},
): Answers {
  const { maxPayload = 1 << 20, ...options } = over
  return new Answers({
    wire: {
      publish: (to, data) => publish(to, data),
      publishSide: publish,
      maxPayload,
      inboxPrefix: '_INBOX_node',
    },
    clients,
    clock,
    logger: quiet,
    telemetry: noTelemetry,
    replyPrefixes: ['_INBOX'],
    ...options,
  })
}

export type Answer = (WriteAnswer | ErrorAnswer) & { to: string }

export function message(
  data: object | Uint8Array,
  headers: Record<string, string> = {},
  reply?: string,
): BusMessage {
  const bytes = data instanceof Uint8Array ? data : Buffer.from(JSON.stringify(data))
  return {
    subject: 'engram.v1.write.demo',
    data: bytes,
    reply,
    header: (name) => headers[name],
    headerNames: () => Object.keys(headers),
  }
}

export interface PathOptions {
  readonly epoch?: number
  readonly settings?: ActorSettings
  readonly spaceSettings?: SpaceSettings
  readonly telemetry?: Telemetry
  /** Called before each answer is sent. */
  readonly onAnswer?: () => void
}

/** The data path of one primary, its lease and its replicas in the test's hand. */
export class Path {
  readonly answers: Answer[] = []
  readonly log: SpaceLog
  readonly budget = new Budget(1 << 30)
  readonly overlay = new Overlay(this.budget.account('overlay'))
  readonly store = new MemorySpaceStore()
  readonly lease: Lease
  readonly replies: WriteAnswers
  readonly ingest: Ingest
  readonly lapses: string[] = []
  readonly forgotten: string[] = []
  /** Number of frames that went to the replicas. */
  shipped = 0
  inSync = 2
  private sent = 0
  private grant = { at: { wallMs: 0, monotonicMs: 0 }, ms: 0, stretch: 0 }

  constructor(
    readonly journal: GateJournal,
    readonly clock: VirtualClock,
    readonly commits: GroupCommit,
    over: PathOptions = {},
    id = uuid,
  ) {
    const { budget, overlay, store } = this
    const log = this.log = new SpaceLog({
      space: 'demo',
      uuid: id,
      journal,
      tailBytesMax: 1 << 20,
      budget,
    })
    this.grantFor(2000)
    const grants = {
      grantLeftMs: () => this.grantLeftMs(),
      grantStretch: () => this.grant.stretch,
    }
    this.lease = new Lease('n1', clock, grants, (reason) => this.lapses.push(reason))
    this.lease.begin(['n1', 'n2'])
    const { epoch: number = 1, settings = defaultSettings, telemetry = noTelemetry } = over
    const epoch: EpochFacts = {
      space: 'demo',
      node: 'n1',
      number,
      lease: this.lease,
      started: {
        clock: {},
        component: 'n1',
        timestamp: clock.wallMs(),
        atMs: clock.monotonicMs(),
      },
      settings: over.spaceSettings ?? { replicas: 1, ack: 'durable', minInSync: 2 },
      deposed: (reason) => void this.forgotten.push(reason),
    }
    const context = {
      budget,
      commits,
      settings,
      ports: { clients, clock, frames: codec, telemetry },
      answers: this.answersOf(over.onAnswer),
      lanes: {
        logReads: new WorkQueue({ clock, sliceMs: 3, isCongested: () => false, onFailed: rethrow })
          .lane({ bytesMax: 0, openMax: 4 }),
      },
    }
    const inSync = this.inSyncSet()
    const buffer = new WriteBuffer({
      frames: codec,
      clock,
      account: budget.account('writes'),
      frameBytesMax: settings.frameBytesMax,
    })
    this.replies = new WriteAnswers({ epoch, log, inSync, context })
    this.ingest = new Ingest({
      epoch,
      member: { log, overlay, store },
      context,
      inSync,
      buffer,
      pending: new PendingView(clock, number, log, buffer),
      replies: this.replies,
      replicas: {
        begun: () => undefined,
        written: () => {
          this.shipped += 1
          journal.steps.push('shipped')
        },
        recommit: () => undefined,
      },
      resent: { fromClient: (request) => ({ kind: 'decided', request }), losersAt: () => 0 },
    })
  }

  /** The replicas' grants last so long from now on. */
  grantFor(ms: number): void {
    const { clock, grant: { stretch } } = this
    const at = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
    this.grant = { at, ms, stretch: this.grantLeftMs() > 0 ? stretch : stretch + 1 }
  }

  private grantLeftMs(): number {
    const { clock, grant: { at, ms } } = this
    return ms - elapsedMs(at, { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() })
  }

  private answersOf(onAnswer: () => void = () => undefined): Answers {
    return answersOver(this.clock, (to, data) => {
      onAnswer()
      const said = data[0] === 0x7b ? JSON.parse(Buffer.from(data).toString()) : decode(data)
      this.answers.push({ ...said as Answer, to })
      this.journal.steps.push(`answered ${to}`)
    })
  }

  /** The in-sync members, as many as `inSync` says then. */
  private inSyncSet() {
    const path = this as { readonly inSync: number }
    return {
      get count(): number {
        return path.inSync
      },
      isBelow: (minInSync: number) => path.inSync < minInSync,
      get isUnderReplicated(): boolean {
        return path.inSync < 2
      },
    }
  }

  /** Sends a write; its reply subject is `r1`, `r2` … in the order of the calls. */
  write(headers: Record<string, string> = {}, count = 1): string {
    const reply = `r${(this.sent += 1)}`
    const operations = Array.from({ length: count },
      (_, i) => ({ type: 'StoreNode', node: { id: `${reply}.${i}` } }))
    this.ingest.onWrite(message(count === 1 ? operations[0]! : { operations }, headers, reply))
    return reply
  }

  /** Sends those bytes; the reply subject is `r1`, `r2` … as of `write`. */
  send(data: object | Uint8Array, headers: Record<string, string> = {}): string {
    const reply = `r${(this.sent += 1)}`
    this.ingest.onWrite(message(data, headers, reply))
    return reply
  }

  /** Everything up to there is durable at the replicas too. */
  commit(sequence = this.log.durable.sequence): void {
    this.log.raiseCommit(sequence)
    this.replies.committed()
  }

  answerTo(reply: string): Answer | undefined {
    const found = this.answers.filter(({ to }) => to === reply)
    if (found.length > 1) throw new Error(`${reply} was answered ${found.length} times`)
    return found[0]
  }

  codeTo(reply: string): string {
    const answer = this.answerTo(reply)
    if (!answer) return 'none'
    return answer.ok ? `ok ${answer.sequence}` : answer.code
  }
}

export function path(over: PathOptions = {}): Path {
  const journal = new GateJournal()
  const clock = new VirtualClock()
  return new Path(journal, clock, commitsOver(journal, clock), over)
}
