import type { Position } from '../../machines/base/ids.js'
import { quarantines } from '../../machines/forks/merge.js'
import type { ForkNote, ForkOpening } from '../../machines/log/forkNotes.js'
import { startsOf } from '../../machines/log/lineage.js'
import type { Starts } from '../../machines/log/lineage.js'
import type { ReconcileAnswer, ReconcileMessage, SalvagedWrite, SalvageOffer, SalvageSlice,
  SpaceSettings } from '../../machines/protocol/messages.js'
import { sendAlert, sendNotice } from '../member/alerts.js'
import type { Member } from '../member/member.js'
import { AdminRefusal } from '../ports/adminApi.js'
import type { ErrorAnswer, WriteAnswer } from '../ports/clientApi.js'
import type { AcceptedRequest } from '../ports/frames.js'
import { resultInSlices } from '../structures/inSlices.js'
import type { Appender } from './appender.js'
import type { Reconciler } from './reconciler.js'
import { requestsOf } from './salvageSlices.js'

/** Live writes come first: slices wait while this much is being written. */
const busyBytes = 1024 * 1024
const busyPauseMs = 50
/** Pause while the quarantine is full, which an operator has to empty. */
const fullPauseMs = 10_000
/** Pause after a slice, as a multiple of its time: slices take a fifth of the time at most. */
const pauseFactor = 4
const pauseMsMax = 200

/** The primary that takes forks. */
export interface IntakePrimary {
  readonly settings: SpaceSettings
  /** Returns why only clients' writes are logged now, or null. */
  notNow(): string | null
}

export interface ForkIntakeOptions {
  readonly member: Member
  readonly epoch: number
  readonly ingest: Appender
  readonly reconciler: Reconciler
  readonly primary: IntakePrimary
}

/** Writes that this log has already: up to which entry, and the place of each. */
interface Known {
  readonly upTo: number
  readonly now: readonly Position[]
}

/** Writes with one key, or a single one without a key. Logged together or not at all. */
type Group = readonly SalvagedWrite[]

/** Takes salvages that members upload to the primary (`reconciliation` on their side). */
export class ForkIntake {
  /**
   * Highest sequence of an entry about forks that this epoch logged, or an earlier one may have.
   * The reports in the store lag behind it.
   */
  private loggedUpTo: number
  private isCounting = false

  constructor(private readonly options: ForkIntakeOptions) {
    this.loggedUpTo = options.member.log.end.sequence
  }

  onMessage(message: ReconcileMessage, answer: (answer: ReconcileAnswer) => void): void {
    const { member, epoch, primary } = this.options
    const isAutomatic = (primary.settings.reconcile ?? 'automatic') === 'automatic'
    const respond = (
      kind: ReconcileAnswer['kind'],
      sequence: number,
      retryAfterMs: number,
      reason: string,
    ): void =>
      answer({
        kind,
        number: message.number,
        node: member.self,
        epoch,
        sequence,
        retryAfterMs,
        isAutomatic,
        reason,
      })
    if (message.uuid !== member.uuid || message.epoch !== epoch) {
      return respond('refused', 0, 0, `the current epoch is ${epoch}, not ${message.epoch}`)
    }
    const reason = primary.notNow() ?? this.overloaded()
    if (reason !== null) return respond('busy', 0, busyPauseMs, reason)
    if (message.kind === 'offer') this.onOffer(message, respond)
    else this.onSlice(message, respond)
  }

  private overloaded(): string | null {
    const { ingest, member } = this.options
    const isBusy = ingest.bufferedBytes > busyBytes
      || member.overlay.bytes > member.context.settings.overlayBytesMax / 4
    return isBusy ? 'live writes come first' : null
  }

  private onOffer({ node, disk, salvages, isComplete }: SalvageOffer, respond: Respond): void {
    const { reconciler: { tracker }, member: { store, space, context } } = this.options
    const { ports: { clock, logger } } = context
    // A report is closed by its counts, so the store must have applied all entries about forks.
    if (store.applied.sequence < this.loggedUpTo) {
      return respond('busy', 0, busyPauseMs, 'reconciled writes are not yet committed')
    }
    if (this.isCounting) {
      return respond('busy', 0, busyPauseMs, 'what is lost of a fork is being counted')
    }
    const work = new NoteWork(this.options.ingest, (sequence, failure) => {
      if (failure === null) respond('taken', sequence, 0, '')
      else respond('busy', 0, busyPauseMs, failure)
    })
    for (const note of tracker.offered(node, disk, salvages, isComplete)) this.logNote(work, note)
    if (!isComplete) return work.end()
    this.isCounting = true
    resultInSlices(clock, tracker.closings(node, disk)).then(
      (notes) => notes.forEach((note) => this.logNote(work, note)),
      (error: unknown) => {
        logger.error({ space, error: String(error) }, 'what is lost of a fork cannot be counted')
        work.fail(String(error))
      },
    ).finally(() => {
      this.isCounting = false
      work.end()
    })
  }

  private logNote(work: NoteWork, note: ForkNote): void {
    const { reconciler } = this.options
    work.log(reconciler.noted(note), (answer) => {
      if (answer.ok) this.alertNote(note)
      else this.notLogged(note, answer)
    })
  }

  /** A rejected note is retried. One with an unknown outcome is not: it may be in the log. */
  private notLogged(note: ForkNote, { outcome }: ErrorAnswer): void {
    if (outcome === 'notTaken') this.options.reconciler.tracker.unlogged(note)
  }

  private onSlice(slice: SalvageSlice, respond: Respond): void {
    const { reconciler, ingest, member: { log, context: { ports: { clock } } } } = this.options
    const { tracker } = reconciler
    const note = tracker.salvage(slice.node, slice.salvage)
    if (!note) return respond('refused', 0, 0, `${slice.salvage} was not offered in this epoch`)
    const begunMs = clock.monotonicMs()
    const work = new NoteWork(ingest, (sequence, failure, failurePauseMs) => {
      const pauseMs = Math.min(pauseMsMax, (clock.monotonicMs() - begunMs) * pauseFactor)
      this.loggedUpTo = Math.max(this.loggedUpTo, sequence)
      // Writes that came a moment ago may not be durable yet, and a flush may fail.
      const isDurable = sequence <= log.durable.sequence
      if (failure === null && isDurable) respond('taken', sequence, Math.ceil(pauseMs), '')
      else respond('busy', 0, failurePauseMs, failure ?? 'earlier writes are not yet durable')
    })
    this.logWrites(slice.writes, startsOf(note.spans, note.common), work)
    if (slice.isLast && !work.hasFailed) {
      const noted = tracker.takenAt(slice.node, slice.salvage)
      if (noted !== undefined) work.reach(noted)
      else this.logTaken(slice, work)
    }
    work.end()
  }

  private logTaken({ node, salvage }: SalvageSlice, work: NoteWork): void {
    const { reconciler, reconciler: { tracker } } = this.options
    const taken = tracker.taken(node, salvage)
    work.log(reconciler.noted(taken), (answer) => {
      if (answer.ok) tracker.notedTaken(node, salvage, answer.sequence)
      else tracker.unlogged(taken)
    })
  }

  private logWrites(writes: readonly SalvagedWrite[], starts: Starts, work: NoteWork): void {
    const { reconciler } = this.options
    const resent: ResentWrite[] = []
    let quarantined = 0
    for (const group of requestsOf(writes)) {
      const known = this.known(group, resent)
      if (known) {
        this.noteCopies(group, known.now, resent)
        work.reach(known.upTo)
        continue
      }
      const request = reconciler.decideAll(group, 'salvage', group[0]!.writeId, starts)
      if (!request) {
        work.fail('the quarantine is full: an operator has to empty it', fullPauseMs)
        break
      }
      quarantined += request.reconciliations!.filter(quarantines).length
      work.log(request)
      this.noteCopies(group, group.map(({ origin }) => origin), resent)
    }
    if (resent.length > 0) {
      work.log(reconciler.noted({ type: 'ForkNote', note: 'resent', writes: resent }))
    }
    if (quarantined === 0) return
    this.options.member.alert('quarantined', { writes: quarantined },
      `${quarantined} write(s) lost against concurrent ones, and are kept in the quarantine`)
  }

  /** Returns where this log has the writes of the group; null: it does not have them. */
  private known(group: Group, resent: ResentWrite[]): Known | null {
    const { reconciler, ingest } = this.options
    const { origin, writeId } = group.at(-1)!
    // Looked up by origin first: that record survives when a later write supersedes this one. (If
    // the log that had the write was given up as a fork, the origin record went with it.)
    const place = reconciler.placeOf(origin.epoch, origin.sequence)
    if (place) return { upTo: place.sequence, now: group.map((write) => write.origin) }
    const key = writeId === null ? undefined : ingest.knownKey(writeId)
    if (!key) return this.standing(group)
    const now = group.map(({ origin: { epoch, sequence } }, index) => {
      const place = { epoch: key.epoch, sequence: key.sequence - group.length + 1 + index }
      resent.push({ epoch, sequence, now: place })
      return place
    })
    return { upTo: key.sequence, now }
  }

  /** A request is in a log as a whole: one of its writes that stands proves that all are here. */
  private standing(group: Group): Known | null {
    const { reconciler } = this.options
    const places = group.flatMap((write) => reconciler.standing(write) ?? [])
    if (places.length === 0) return null
    return {
      upTo: Math.max(...places.map(({ sequence }) => sequence)),
      now: group.map(({ origin }) => origin),
    }
  }

  /** Notes copies too: writes that were reconciled in the fork were acknowledged there as well. */
  private noteCopies(group: Group, now: readonly Position[], resent: ResentWrite[]): void {
    const { reconciler } = this.options
    group.forEach(({ copy, origin }, index) => {
      if (!copy || reconciler.placeOf(copy.epoch, copy.sequence)) return
      // Below the root, what comes back may be this log's own entry, and no copy.
      const place = reconciler.placeOf(origin.epoch, origin.sequence)
      if (place?.epoch === copy.epoch && place.sequence === copy.sequence) return
      const { epoch, sequence } = now[index]!
      resent.push({ ...copy, now: { epoch, sequence } })
    })
  }

  private alertNote(note: ForkNote): void {
    if (note.note === 'closed') {
      const { epoch, outcome, lost, reason } = note
      const formerPrimary = this.options.reconciler.tracker.holderOf(epoch)
      this.options.member.alert('forkReportClosed', { epoch, formerPrimary, outcome, lost, reason },
        `the report on epoch ${epoch} is closed: ${reason}`)
    } else if (note.note === 'opened') reportOpening(this.options.member, note.opening)
  }

  /** The note that closes the report as given up by an operator; null: it is not open. */
  async dismissal(epoch: number): Promise<ForkNote | null> {
    const { member: { context }, reconciler: { tracker } } = this.options
    return await resultInSlices(context.ports.clock, tracker.dismiss(epoch))
  }

  /** Resolves when the operator's note or write is durable; rejects with why it is not. */
  async logCommand(what: AcceptedRequest | ForkNote): Promise<number> {
    const { ingest, reconciler } = this.options
    const request = 'operations' in what ? what : reconciler.noted(what)
    return await new Promise<number>((resolve, reject) => {
      ingest.log(request, 'durable', (answer) => {
        if (answer.ok) {
          if (!('operations' in what)) this.alertNote(what)
          return resolve(answer.sequence)
        }
        if (!('operations' in what)) this.notLogged(what, answer)
        reject(new AdminRefusal(answer.code, answer.message, answer.retryable))
      })
    })
  }
}

type Respond = (
  kind: ReconcileAnswer['kind'],
  sequence: number,
  retryAfterMs: number,
  reason: string,
) => void

type ResentWrite = (ForkNote & { note: 'resent' })['writes'][number]

/** Entries logged for one message. Over when all are durable, or one failed. */
class NoteWork {
  private open = 1
  private sequence = 0
  private failure: string | null = null
  private pauseMs = busyPauseMs

  constructor(
    private readonly ingest: Appender,
    private readonly onOver: (sequence: number, failure: string | null, pauseMs: number) => void,
  ) {}

  get hasFailed(): boolean {
    return this.failure !== null
  }

  /** Notes that an entry is in the log already, at that sequence. */
  reach(sequence: number): void {
    this.sequence = Math.max(this.sequence, sequence)
  }

  /** `pauseMs`: time after which a retry makes sense. */
  fail(reason: string, pauseMs = busyPauseMs): void {
    this.failure ??= reason
    this.pauseMs = Math.max(this.pauseMs, pauseMs)
  }

  log(
    request: AcceptedRequest,
    onAnswer: (answer: WriteAnswer | ErrorAnswer) => void = () => undefined,
  ): void {
    this.open += 1
    this.ingest.log(request, 'durable', (answer) => {
      if (answer.ok) this.reach(answer.sequence)
      else this.fail(`${answer.code}: ${answer.message}`)
      onAnswer(answer)
      this.end()
    })
  }

  end(): void {
    this.open -= 1
    if (this.open === 0) this.onOver(this.sequence, this.failure, this.pauseMs)
  }
}

/** Raises an alert when writes are known to be missing, or else logs a notice. */
export function reportOpening(
  { context, space }: Member,
  { epoch, node, forkPoint, lastKnown, atMost }: ForkOpening,
): void {
  const atLeast = lastKnown - forkPoint.sequence
  const fields = { epoch, formerPrimary: node, forkPoint, atLeast, atMost }
  const begin = `${node} stopped being primary (epoch ${epoch}) without a handover`
  const end = `this is settled when ${node} returns`
  const most = atMost === null ? '' : `, at most ${atMost}`
  if (atLeast > 0) {
    const many = atLeast === 1 ? '1 of its writes is' : `${atLeast} of its writes are`
    sendAlert(context, space, 'forkReportOpened', fields,
      `${begin}: at least ${many} missing here${most}; ${end}`)
  } else {
    sendNotice(context, space, 'forkReportOpened', fields,
      `${begin}. No unreplicated write is known${most}; ${end}`)
  }
}
