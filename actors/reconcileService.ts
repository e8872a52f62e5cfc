import type { ForkNote } from '../machines/books.js'
import { startsOf } from '../machines/lineage.js'
import type {
  Position, ReconcileAnswer, ReconcileMessage, SalvagedWrite, SalvageOffer, SalvageSlice,
} from '../machines/protocol.js'
import type { Ingest } from './ingest.js'
import type { Member } from './member.js'
import type { AcceptedRequest } from './ports.js'
import type { Reconciler } from './reconciler.js'

/** Live writes come first: slices wait while this much is being written. */
const busyBytes = 1024 * 1024
const busyPauseMs = 50
/** A slice is followed by a pause of so many times what it took: a fifth of the time at most. */
const pauseFactor = 4
const pauseMsMax = 200

export interface ReconcileServiceOptions {
  readonly member: Member
  readonly epoch: number
  readonly ingest: Ingest
  readonly reconciler: Reconciler
  /** Why nothing may be logged beside what clients write, or null. */
  readonly busy: () => string | null
  readonly isAutomatic: () => boolean
  readonly alert: (kind: string, fields: object, message: string) => void
}

/** Writes that have come: by which entry of this log, and under which place each is known. */
interface Known {
  readonly upTo: number
  readonly now: readonly Position[]
}

/** Writes that have one key, or one that has none: logged together, or not at all. */
type Group = readonly SalvagedWrite[]

/** The primary's answers to members that bring salvages home (`reconciliation` on their side). */
export class ReconcileService {
  /** Highest sequence that this reign logged about forks: the store's books lag behind it. */
  private loggedUpTo = 0

  constructor(private readonly options: ReconcileServiceOptions) {}

  onMessage(message: ReconcileMessage, answer: (answer: ReconcileAnswer) => void): void {
    const { member, epoch, busy, isAutomatic } = this.options
    const told = (
      kind: ReconcileAnswer['kind'], sequence: number, retryAfterMs: number, reason: string,
    ): void => answer({
      kind, number: message.number, node: member.self, epoch, sequence, retryAfterMs,
      isAutomatic: isAutomatic(), reason,
    })
    if (message.uuid !== member.uuid || message.epoch !== epoch) {
      return told('refused', 0, 0, `epoch ${epoch} reigns, not ${message.epoch}`)
    }
    const reason = busy() ?? this.overloaded()
    if (reason !== null) return told('busy', 0, busyPauseMs, reason)
    if (message.kind === 'offer') this.onOffer(message, told)
    else this.onSlice(message, told)
  }

  private overloaded(): string | null {
    const { ingest, member } = this.options
    const isBusy = ingest.bufferedBytes > busyBytes
      || member.overlay.bytes > member.context.settings.overlayBytesMax / 4
    return isBusy ? 'live writes come first' : null
  }

  private onOffer({ node, disk, salvages }: SalvageOffer, told: Told): void {
    const { reconciler: { books }, member: { store } } = this.options
    // A report is closed by its counts: they must have come that far.
    if (store.applied.sequence < this.loggedUpTo) {
      return told('busy', 0, busyPauseMs, 'what came home is not yet committed')
    }
    this.logNotes(books.offered(node, disk, salvages))
    // Noted again by the next reign, should this one end before it is durable.
    told('taken', 0, 0, '')
  }

  private onSlice(slice: SalvageSlice, told: Told): void {
    const { reconciler, ingest, member: { context: { ports: { clock } } } } = this.options
    const note = reconciler.books.salvage(slice.node, slice.salvage)
    if (!note) return told('refused', 0, 0, `${slice.salvage} was not offered in this reign`)
    const begunMs = clock.monotonicMs()
    const starts = startsOf(note.spans, note.common)
    const work = new SliceWork(ingest, (sequence, failure) => {
      const pauseMs = Math.min(pauseMsMax, (clock.monotonicMs() - begunMs) * pauseFactor)
      this.loggedUpTo = Math.max(this.loggedUpTo, sequence)
      if (failure === null) told('taken', sequence, Math.ceil(pauseMs), '')
      else told('busy', 0, busyPauseMs, failure)
    })
    const resent: ResentWrite[] = []
    for (const group of groupsOf(slice.writes)) {
      const known = this.known(group, resent)
      if (known) {
        this.noteCopies(group, known.now, resent)
        work.reach(known.upTo)
        continue
      }
      const [first] = group
      const request = reconciler.decideAll(group, 'salvage', first!.writeId, starts)
      if (!request) {
        work.fail('the quarantine is full: engram quarantine list tells what it holds')
        break
      }
      this.alertQuarantined(request)
      work.log(request)
      this.noteCopies(group, group.map(({ origin }) => origin), resent)
    }
    if (resent.length > 0) {
      work.log(reconciler.noted({ type: 'ForkNote', note: 'resent', writes: resent }))
    }
    if (slice.isLast && !work.hasFailed) {
      const taken = reconciler.books.taken(slice.node, slice.salvage)
      work.log(reconciler.noted(taken), () => reconciler.books.unlogged(taken))
    }
    work.end()
  }

  /** What this log has of the writes of the group; null: they have not come. */
  private known(group: Group, resent: ResentWrite[]): Known | null {
    const { reconciler, ingest, member: { log } } = this.options
    const { origin, writeId } = group.at(-1)!
    const record = reconciler.origin(origin.epoch, origin.sequence)
    if (record) {
      // Its origin leads on to what became of it, also when something took its place later.
      return { upTo: record.now.sequence, now: group.map((write) => write.origin) }
    }
    // Given up when another reign was joined, that of a log which had it after all came to nothing.
    if (log.epochAt(origin.sequence) === origin.epoch) {
      return { upTo: origin.sequence, now: group.map((write) => write.origin) }
    }
    const key = writeId === null ? undefined : ingest.knownKey(writeId)
    if (!key) return null
    const now = group.map(({ origin: { epoch, sequence } }, index) => {
      const place = { epoch: key.epoch, sequence: key.sequence - group.length + 1 + index }
      resent.push({ epoch, sequence, now: place })
      return place
    })
    return { upTo: key.sequence, now }
  }

  /** What had come home in the fork was acknowledged there: it has come again, too. */
  private noteCopies(group: Group, now: readonly Position[], resent: ResentWrite[]): void {
    const { reconciler, member: { log } } = this.options
    group.forEach(({ copy }, index) => {
      if (!copy || reconciler.origin(copy.epoch, copy.sequence)) return
      if (log.epochAt(copy.sequence) === copy.epoch) return
      const { epoch, sequence } = now[index]!
      resent.push({ ...copy, now: { epoch, sequence } })
    })
  }

  private alertQuarantined({ reconciliations = [] }: AcceptedRequest): void {
    const lost = reconciliations.filter(({ outcome, displaces }) =>
      outcome === 'quarantined' || displaces !== 'nothing').length
    if (lost === 0) return
    this.options.alert('quarantined', { writes: lost },
      `${lost} write(s) lost against concurrent ones, and are kept in the quarantine`)
  }

  private logNotes(notes: readonly ForkNote[]): void {
    const { ingest, reconciler } = this.options
    for (const note of notes) {
      ingest.log(reconciler.noted(note), 'durable', (answer) => {
        if (answer.ok) this.alertNote(note)
        else reconciler.books.unlogged(note)
      })
    }
  }

  private alertNote(note: ForkNote): void {
    if (note.note === 'closed') {
      const { epoch, outcome, lost, reason } = note
      this.options.alert('forkReportClosed', { epoch, outcome, lost },
        `the report on epoch ${epoch} is closed: ${reason}`)
    } else if (note.note === 'opened') alertOpening(this.options.alert, note.opening)
  }

  // ---------------------------------------------------------------- orders

  /** Resolves when the operator's note or write is durable; rejects with why it is not. */
  async order(what: AcceptedRequest | ForkNote): Promise<number> {
    const { ingest, reconciler } = this.options
    const request = 'operations' in what ? what : reconciler.noted(what)
    return await new Promise<number>((resolve, reject) => {
      ingest.log(request, 'durable', (answer) => {
        if (answer.ok) {
          if (!('operations' in what)) this.alertNote(what)
          return resolve(answer.sequence)
        }
        if (!('operations' in what)) reconciler.books.unlogged(what)
        reject(new Error(`${answer.code}: ${answer.message}`))
      })
    })
  }
}

type Told = (
  kind: ReconcileAnswer['kind'], sequence: number, retryAfterMs: number, reason: string,
) => void

type ResentWrite = (ForkNote & { note: 'resent' })['writes'][number]

/** What is logged for one slice: over when all of it is durable, or some of it cannot be. */
class SliceWork {
  private open = 1
  private sequence = 0
  private failure: string | null = null

  constructor(
    private readonly ingest: Ingest,
    private readonly onOver: (sequence: number, failure: string | null) => void,
  ) {}

  get hasFailed(): boolean {
    return this.failure !== null
  }

  /** It is in the log already, there. */
  reach(sequence: number): void {
    this.sequence = Math.max(this.sequence, sequence)
  }

  fail(reason: string): void {
    this.failure ??= reason
  }

  log(request: AcceptedRequest, onFailed: () => void = () => undefined): void {
    this.open += 1
    this.ingest.log(request, 'durable', (answer) => {
      if (answer.ok) this.reach(answer.sequence)
      else {
        this.fail(`${answer.code}: ${answer.message}`)
        onFailed()
      }
      this.end()
    })
  }

  end(): void {
    this.open -= 1
    if (this.open === 0) this.onOver(this.sequence, this.failure)
  }
}

function groupsOf(writes: readonly SalvagedWrite[]): Group[] {
  const groups: SalvagedWrite[][] = []
  for (const write of writes) {
    const group = groups.at(-1)
    if (group && write.writeId !== null && group[0]!.writeId === write.writeId) group.push(write)
    else groups.push([write])
  }
  return groups
}

export function alertOpening(
  alert: (kind: string, fields: object, message: string) => void,
  { epoch, node, forkPoint, lastKnown, atMost }: {
    readonly epoch: number; readonly node: string; readonly forkPoint: { sequence: number }
    readonly lastKnown: number; readonly atMost: number | null
  },
): void {
  const atLeast = lastKnown - forkPoint.sequence
  alert('forkReportOpened', { epoch, node, forkPoint, atLeast, atMost },
    `the reign of ${node} in epoch ${epoch} ended without a handover: at least ${atLeast} `
      + `write(s) at risk${atMost === null ? '' : `, at most ${atMost}`}`)
}
