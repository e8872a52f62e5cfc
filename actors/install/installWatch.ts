import type { NodeId, Position } from '../../machines/base/ids.js'
import { bytesText, countText, msText } from '../../machines/base/units.js'
import { sendAlert, sendNotice } from '../member/alerts.js'
import type { Member } from '../member/member.js'
import type { TimerHandle } from '../ports/system.js'

/** Without progress for so long, an install is stalled. */
export const stalledMs = 300_000
/** So often in a row, a state was of no use: the install is stalled, too. */
const vainMax = 2
const lookedMs = 1000
/** Sources may change each second: after so many, one a minute is told. Other events stay. */
const toldMax = 4
const toldMs = 60_000

/** What of a state is here. */
export interface InstallSample {
  readonly doneBytes: number
  readonly loadedRecords: number
}

/** A state that was given up, since the primary does not keep what follows on it any more. */
export interface Overtaken {
  readonly bytesPerSecond: number
  /** Least position of a state now. */
  readonly minimum: number
}

/** From the first answer that the member has to be installed until it follows. */
interface Run {
  readonly reason: string
  isTold: boolean
  isStalled: boolean
  /** Source that was told last, and when. */
  source: NodeId | null
  toldAtMs: number
  told: number
  /** The present source, when it was found, and the least position of a state then. */
  found: { readonly source: NodeId; readonly atMs: number; readonly minimum: number } | null
  /** What went wrong last. */
  obstacle: string
  vain: number
  /** Time in states of an install without progress, up to the last look. */
  idleMs: number
  lookedAtMs: number
  seen: InstallSample
}

const nothing: InstallSample = { doneBytes: 0, loadedRecords: 0 }

/**
 * Tells of an install: its beginning, other sources, its end; and raises `installStalled` when it
 * does not get on. It outlives sessions: an install may need several. Looks each second while the
 * member is in a state of an install, and does nothing else.
 */
export class InstallWatch {
  private run: Run | null = null
  private timer: TimerHandle | null = null
  private diskSaidAtMs = -Infinity

  constructor(private readonly member: Member, private readonly sample: () => InstallSample) {}

  /** The answer to a join: the log does not bring the member up to date. */
  needed(reason: string): void {
    this.run ??= {
      reason: reason || 'the log of its primary does not bring it up to date',
      isTold: false,
      isStalled: false,
      source: null,
      toldAtMs: -Infinity,
      told: 0,
      found: null,
      obstacle: '',
      vain: 0,
      idleMs: 0,
      lookedAtMs: 0,
      seen: nothing,
    }
  }

  /** The member is in a state of an install. */
  entered(): void {
    const { run } = this
    if (!run || this.timer) return
    run.lookedAtMs = this.clock.monotonicMs()
    this.timer = this.arm()
  }

  /** It is in none now: the time until it is again does not count. */
  left(): void {
    if (!this.timer) return
    this.clock.clearTimeout(this.timer)
    this.timer = null
    if (this.run) this.look(this.run)
  }

  /** The primary agrees to a state of that source. */
  sourceFound(source: NodeId, { sequence }: Position, minimum: number): void {
    const { run, member } = this
    if (!run) return
    const now = this.clock.monotonicMs()
    run.found = { source, atMs: now, minimum }
    if (run.source === source || (run.told >= toldMax && now - run.toldAtMs < toldMs)) return
    const former = run.source
    run.source = source
    run.toldAtMs = now
    run.told += 1
    const fields = { source, sequence, reason: run.reason }
    if (!run.isTold) {
      run.isTold = true
      return this.notice('installBegun', fields,
        `${member.self} is installed from ${source}: ${run.reason}`)
    }
    // What it waited for at its beginning is no reason for this source.
    const change = former === null ? ['', ''] : [` instead of ${former}`, because(run)]
    this.notice('installSourceChanged', { ...fields, former },
      `${member.self} is installed from ${source}${change[0]}, with the state as of ${
        countText(sequence)
      }${change[1]}`)
  }

  /** It does not get on now. */
  hindered(reason: string): void {
    const { run, member } = this
    if (!run) return
    run.obstacle = reason
    if (run.isTold) return
    run.isTold = true
    this.notice('installBegun', { source: null, reason: run.reason },
      `${member.self} has to be installed: ${run.reason}; it waits${because(run)}`)
  }

  /** The disk does not take it now: a full one is tried twice a second, for as long as it is. */
  waitsForDisk(reason: string): void {
    const { clock, logger } = this.member.context.ports
    const nowMs = clock.monotonicMs()
    if (nowMs - this.diskSaidAtMs >= toldMs) {
      this.diskSaidAtMs = nowMs
      logger.warn({ space: this.member.space, reason }, 'the install waits for the disk')
    }
    this.hindered(`the disk does not take it: ${reason}`)
  }

  /** A state was of no use. */
  vain(reason: string, overtaken: Overtaken | null): void {
    this.hindered(reason)
    const { run } = this
    if (!run) return
    run.vain += 1
    if (run.vain < vainMax) return
    const rates = overtaken && this.rates(run, overtaken)
    this.stalled(run, { ...rates }, `${run.vain} states in a row were of no use`
      + (rates
        ? `, the last one since its log goes on meanwhile: it gets ${
          bytesText(rates.bytesPerSecond)
        }/s, and ${countText(rates.entriesPerSecond)} entries/s are given up`
        : ''))
  }

  /** The member has the state. */
  installed(position: Position): void {
    const { self } = this.member
    const sequence = countText(position.sequence)
    this.notice('installed', { position },
      `${self} has the state as of ${sequence} and follows from there`)
    this.end(`${self} was installed`)
  }

  /** The log brings the member up to date, or it needs none any more. */
  over(): void {
    if (this.run) this.end(`${this.member.self} does not have to be installed any more`)
  }

  private end(text: string): void {
    const { run, member } = this
    this.run = null
    this.left()
    if (!run?.isStalled) return
    sendAlert(member.context, member.space, 'installStalledCleared', { reason: run.reason }, text)
  }

  private arm(): TimerHandle {
    return this.clock.setTimeout(() => {
      this.timer = this.arm()
      if (this.run) this.look(this.run)
    }, lookedMs)
  }

  private look(run: Run): void {
    const { doneBytes, loadedRecords } = this.sample()
    const { seen, lookedAtMs } = run
    run.lookedAtMs = this.clock.monotonicMs()
    const isMoving = doneBytes > seen.doneBytes || loadedRecords > seen.loadedRecords
      // The store is loaded from a checkpoint of its own first.
      || this.member.rebuild.isLoading
    run.seen = { doneBytes, loadedRecords }
    run.idleMs = isMoving ? 0 : run.idleMs + run.lookedAtMs - lookedAtMs
    if (run.idleMs >= stalledMs) {
      this.stalled(run, {}, `nothing of a state has come for ${msText(run.idleMs)}`)
    }
  }

  private stalled(run: Run, rates: object, text: string): void {
    if (run.isStalled) return
    run.isStalled = true
    const { context, space, self } = this.member
    const source = run.found?.source ?? null
    sendAlert(context, space, 'installStalled', { source, reason: run.obstacle, ...rates },
      `the install of ${self} does not get on: ${text}${because(run)}`)
  }

  private rates(run: Run, { bytesPerSecond, minimum }: Overtaken): {
    readonly bytesPerSecond: number
    readonly entriesPerSecond: number
  } | null {
    if (!run.found) return null
    const seconds = Math.max(1, this.clock.monotonicMs() - run.found.atMs) / 1000
    const entries = Math.max(0, minimum - run.found.minimum)
    return { bytesPerSecond, entriesPerSecond: Math.round(entries / seconds) }
  }

  private notice(kind: string, fields: object, message: string): void {
    sendNotice(this.member.context, this.member.space, kind, fields, message)
  }

  private get clock() {
    return this.member.context.ports.clock
  }
}

function because({ obstacle }: Run): string {
  return obstacle === '' ? '' : `: ${obstacle}`
}
