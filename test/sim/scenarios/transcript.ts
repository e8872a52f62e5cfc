/**
 * A run written for a reader: in virtual time, who did what and why. Lines are what nodes log, what
 * the arbiter decides, the messages that matter (surveys, joins, announcements, offers and slices of
 * salvages), and the sentences of the scenario; the rest (heartbeats, probes, frames, acks,
 * writes) is counted.
 */
import type { WriteAnswer } from '../../../actors/ports/clientApi.js'
import type { SalvageNote } from '../../../machines/log/forkNotes.js'
import type { Announcement, Assignment } from '../../../machines/protocol/messages.js'
import { controlCodec } from '../../../runtime/codec/controlCodec.js'
import type { VirtualClock } from '../../fakes/virtualClock.js'
import type { Applied } from './hinderedBucket.js'
import type { Kind } from './network.js'

const control = controlCodec()

const counted: Partial<Record<Kind, string>> = {
  heartbeat: 'heartbeats',
  ping: 'probes',
  wal: 'frames and notices',
  write: 'writes',
}
/** Shown by the arbiter's own line, or of no interest to a reader of the protocol. */
const leftOut = [/^claims epoch/, /^the journal is recovered/, /^dead letter/]
const spaceStates = new Set([
  'recovering',
  'replica',
  'promoting',
  'primary',
  'handingOver',
  'damaged',
])
/** Silence for longer than this gets a line, with what was counted in it. */
const gapMs = 100

export class Transcript {
  private readonly lines: string[] = []
  private readonly counts = new Map<string, number>()
  private clock: VirtualClock | null = null
  private begunMs = 0
  private writtenMs = 0
  private hasBegun = false

  /** Times count from here; nothing is written before the first sentence of the scenario. */
  begin(clock: VirtualClock): void {
    this.clock = clock
  }

  get text(): string {
    return `${this.lines.join('\n')}\n`
  }

  said(sentence: string): void {
    if (!this.hasBegun) this.begunMs = this.clock?.monotonicMs() ?? 0
    this.hasBegun = true
    this.countUp()
    this.lines.push('')
    this.write('*', sentence)
  }

  logged(node: string, fields: object, message: string): void {
    if (!this.hasBegun || leftOut.some((pattern) => pattern.test(message))) return
    this.write(node, lifeless(chartLine(fields, message)))
  }

  decided({ node, outcome, next }: Applied): void {
    if (!this.hasBegun) return
    const became = outcome.kind === 'applied'
      ? `applied, revision ${outcome.revision}`
      : outcome.kind
    this.write('arbiter', `compare-and-set of ${node}: ${shown(next)}: ${became}`)
  }

  published(from: string, kind: Kind, subject: string, data: Uint8Array): void {
    if (!this.hasBegun) return
    const sentence = this.sentenceOf(kind, subject, data)
    if (sentence) this.write(from, sentence)
    else this.count(kind, data)
  }

  private sentenceOf(kind: Kind, subject: string, data: Uint8Array): string | null {
    const to = subject.split('.').at(-1)
    if (kind === 'survey') return `asks ${to} for its position`
    if (kind === 'assignment') return announced(control.announcement(data))
    if (kind === 'ack') return asked(to, control.ackMessage(data))
    return kind === 'answer' ? answered(data) : null
  }

  private count(kind: Kind, data: Uint8Array): void {
    const isPositive = kind === 'answer' && data[0] === 0x7b && isWriteAnswer(data)
    const what = isPositive ? 'positive answers' : kind === 'ack' ? 'acks' : counted[kind]
    if (what) this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  private write(who: string, what: string): void {
    const nowMs = (this.clock?.monotonicMs() ?? 0) - this.begunMs
    if (nowMs - this.writtenMs >= gapMs) this.countUp()
    this.writtenMs = nowMs
    this.lines.push(`${nowMs.toFixed(1).padStart(9)}  ${who.padEnd(8)} ${what}`.trimEnd())
  }

  private countUp(): void {
    if (this.counts.size === 0) return
    const all = [...this.counts].map(([name, count]) => `${count} ${name}`).join(', ')
    this.lines.push(`${' '.repeat(20)}(meanwhile ${all})`)
    this.counts.clear()
  }
}

const charts = /^(primary|promotion|stream|reconciliation): (.*)$/

/** Chart, the state that it entered, and why: `promotion: claiming (the epoch is over: own)`. */
function chartLine(fields: object, message: string): string {
  const { peer, state } = fields as { peer?: string; state?: string }
  const [, prefix, rest] = charts.exec(message) ?? [null, '', message]
  if (!state) return peer && !message.includes(peer) ? `${message} (${peer})` : message
  const chart = prefix || (spaceStates.has(state) ? 'space' : 'replica')
  const of = peer ? `${chart} of ${peer}` : chart
  return rest && rest !== state ? `${of}: ${state} (${rest})` : `${of}: ${state}`
}

/** Incarnations of a simulated node count from the simulated second: shown from 1. */
function lifeless(text: string): string {
  return text.replace(/\b17000000(\d\d)\.(\d+)\b/g,
    (_, incarnation: string, connection: string) => `${Number(incarnation) + 1}.${connection}`)
}

function shown({ epoch, state, primary, inSync }: Assignment): string {
  return `epoch ${epoch} ${state} by ${primary?.node ?? 'nobody'}, in sync ${inSync.join(' ')}`
}

function announced(decoded: { ok: boolean; value?: Announcement }): string | null {
  if (!decoded.value) return null
  const { kind, assignment, reason } = decoded.value
  return kind === 'resigned'
    ? `announces: epoch ${assignment.epoch} is over (${reason})`
    : `announces: ${shown(assignment)} (${reason})`
}

function asked(to: string | undefined, decoded: ReturnType<typeof control.ackMessage>) {
  if (!decoded.ok) return null
  const message = decoded.value
  switch (message.kind) {
    case 'ack':
    case 'nack':
    case 'install':
      return null
    case 'offer':
      return `offers ${to} its salvages: ${message.salvages.map(salvage).join('; ') || 'none'}`
    case 'slice': {
      const { writes, isLast, salvage: name } = message
      return `sends ${to} ${writes.length} writes of ${name}${isLast ? ', the last ones' : ''}`
    }
    case 'join': {
      const { epoch, number, history } = message
      const log = history.map((span) => `${span.epoch}: ..${span.last}`).join(', ') || 'empty'
      return `asks ${to} to join epoch ${epoch} (join ${number}; my log, by epoch: ${log})`
    }
  }
}

function salvage({ name, common, spans }: SalvageNote): string {
  const what = spans.map(({ epoch, last, writes }) =>
    `${writes} writes of epoch ${epoch} up to ${last}`
  )
  return `${name} after (${common.epoch}, ${common.sequence}): ${what.join(', ')}`
}

function answered(data: Uint8Array): string | null {
  const join = control.joinAnswer(data)
  if (join.ok) {
    const { kind, number, session, common, reason } = join.value
    return kind === 'refused'
      ? `refuses join ${number}: ${reason}`
      : `answers join ${number}: session ${session}, common point `
        + `(${common.epoch}, ${common.sequence})`
  }
  const reconcile = control.reconcileAnswer(data)
  if (reconcile.ok) {
    const { kind, sequence, reason } = reconcile.value
    const upTo = sequence > 0 ? `, in the log up to ${sequence}` : ''
    return `answers: ${kind}${upTo}${reason ? ` (${reason})` : ''}`
  }
  const survey = control.surveyAnswer(data)
  if (!survey.ok) return null
  const { position: { epoch, sequence }, serving, whole } = survey.value
  return `answers: I am at (${epoch}, ${sequence})${serving ? ', and I serve' : ''}`
    + `${whole ? '' : ', and my log is not whole'}`
}

function isWriteAnswer(data: Uint8Array): boolean {
  const answer = JSON.parse(Buffer.from(data).toString()) as Partial<WriteAnswer>
  return answer.ok === true && answer.ack !== undefined
}
