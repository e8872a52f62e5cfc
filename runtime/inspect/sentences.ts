/** What nodes note, as sentences. */
import { msText } from '../../machines/base/units.js'
import { handoverReason, vacancyText } from '../../machines/election/vacancy.js'
import type {
  ClusterEvent, PromotionReport, RecordedEvent,
} from '../../machines/protocol/events.js'
import type { EventKind, EventLine } from './eventLine.js'

/** A line without its time, unless that is another than the event's. */
export interface Sentence extends Omit<EventLine, 'at' | 'id'> {
  readonly atMs?: number
}

type EventOf<T extends ClusterEvent['type']> = Extract<RecordedEvent, { type: T }>

export function sentenceOf(event: RecordedEvent): Sentence {
  const { node } = event
  switch (event.type) {
    case 'promoted':
      return promoted(event)
    case 'steppedDown': {
      const { space, epoch, reason } = event
      const text = `${node} is no longer the primary of ${space} (epoch ${epoch}): ${reason}`
      const kind = reason.startsWith('handed over') ? 'handover' : 'epoch'
      return { kind, text, node, space, epoch, reason }
    }
    case 'handoverBegun': {
      const { space, epoch, to, reason } = event
      const text = `${node} hands ${space} over to ${to}: ${reason}`
      return { kind: 'handover', text, node, space, epoch, reason }
    }
    case 'notice':
      return notice(event)
    case 'damaged': {
      const { space, reason } = event
      const text = `ALERT damaged: the log of ${space} on ${node} cannot be trusted: ${reason}`
      return { kind: 'alert', text, node, space, reason, alert: 'damaged' }
    }
    case 'peer':
      return peer(event)
    case 'node': {
      const { state, reason } = event
      const why = state === 'stopped' ? '' : `: ${reason.replace(/^drains: /, '')}`
      return { kind: 'node', text: `${node} ${nodeTexts[state]}${why}`, node, state, reason }
    }
  }
}

function promoted({ promotion, inSync }: EventOf<'promoted'>): Sentence {
  const { atMs, space, epoch, to: node, reason } = promotion
  const text = `${takeoverText(promotion)}; in sync: ${inSync.join(', ')}`
  return { atMs, kind: 'epoch', text, node, space, epoch, reason, promotion }
}

/** Who is the primary now, why, and what it cost. */
export function takeoverText(promotion: PromotionReport): string {
  const { space, epoch, from, to, reason, ms } = promotion
  if (from === null) return `${to} is the first primary of ${space}, in epoch ${epoch}`
  const again = from === to ? ' again' : ''
  const head = `${to} is the primary of ${space}${again}, in epoch ${epoch}: ${reason}`
  return isHandover(promotion) ? `${head}. Writes waited for ${msText(ms)}`
    : `${head}. Writes were interrupted for ${msText(ms)}${riskClause(promotion)}`
}

/** Planned: the primary before held writes back, and no write can be missing. */
export function isHandover({ from, vacancy, reason }: PromotionReport): boolean {
  return vacancy === 'resigned' && reason === handoverReason(from ?? '')
}

/** What is known of writes that the primary before had alone. */
function riskClause({ atRisk, from, to }: PromotionReport): string {
  if (atRisk === null) return `; whether ${from} had writes that are missing here is not known`
  if (atRisk === 0 || from === to) return '; no write is known to be missing'
  return `; at least ${writesText(atRisk)} of ${from} ${atRisk === 1 ? 'is' : 'are'} missing until `
    + 'it returns'
}

export function writesText(count: number): string {
  return count === 1 ? '1 write' : `${count.toLocaleString('en-US')} writes`
}

interface Course {
  readonly kind: EventKind
  readonly begins: string
}

/** Notices that tell of a course of events, rather than call for help. */
const courses: ReadonlyMap<string, Course> = new Map([
  ['inSyncShrunk', { kind: 'inSync', begins: 'fewer members are in sync; ' }],
  ['inSyncGrown', { kind: 'inSync', begins: 'more members are in sync; ' }],
  ['fork', { kind: 'fork', begins: '' }],
  ['forkReportOpened', { kind: 'fork', begins: '' }],
  ['forkReportClosed', { kind: 'fork', begins: '' }],
  ['quarantined', { kind: 'fork', begins: '' }],
  ['replicaLagCleared', { kind: 'alert', begins: '' }],
  ['settingsChanged', { kind: 'alert', begins: '' }],
  ['clockCleared', { kind: 'alert', begins: '' }],
  ['arbiterAccepts', { kind: 'alert', begins: '' }],
  ['paused', { kind: 'alert', begins: '' }],
  ['resumed', { kind: 'alert', begins: '' }],
])

function notice(event: EventOf<'notice'>): Sentence {
  const { node, space, kind: alert, isAlert, detail } = event
  const message = alert === 'forkReportClosed' ? settledText(event) : event.message
  const { epoch } = detail
  const fields = {
    node, space, ...(typeof epoch === 'number' ? { epoch } : {}), alert, detail,
  }
  const course = courses.get(alert)
  if (course) return { kind: course.kind, text: `${space}: ${course.begins}${message}`, ...fields }
  const text = isAlert ? `ALERT ${alert}: ${space}: ${message} (reported by ${node})`
    : `${space}: ${message}`
  return { kind: 'alert', text, ...fields }
}

/** How it ended that a primary was succeeded without a handover. */
function settledText({ message, detail }: EventOf<'notice'>): string {
  const { epoch, outcome, lost, formerPrimary, reason } = detail
  const holder = typeof formerPrimary === 'string' ? formerPrimary : 'its primary'
  const who = `${holder} (epoch ${epoch})`
  const loss = typeof lost !== 'number' || lost === 0 ? 'no write is lost'
    : `at least ${writesText(lost)} ${lost === 1 ? 'is' : 'are'} lost`
  switch (outcome) {
    case 'level': return `settled: ${who} had no write that the others lack; ${loss}`
    case 'reconciled': return `settled: what ${who} had alone was merged back; ${loss}`
    case 'lost': return `settled for ${who}: ${reason}; ${loss}`
    case 'dismissed': return `an operator closed the report on ${who}`
    default: return message
  }
}

function peer({ node, peer: who, state, vacancy, reason }: EventOf<'peer'>): Sentence {
  const text = {
    gone: `${who} is gone, says ${node}${vacancy ? `: ${vacancyText(vacancy, who)}` : ''}`,
    left: `${who} has left, says ${node}`,
    back: `${who} is back, says ${node}`,
  }[state]
  return {
    kind: 'node', text, node, peer: who, reason,
    state: state === 'gone' ? 'dead' : state === 'back' ? 'alive' : state,
  }
}

const nodeTexts: Readonly<Record<EventOf<'node'>['state'], string>> = {
  running: 'runs',
  isolated: 'has lost NATS; it is primary of nothing until it is back',
  reconnected: 'is connected to NATS again',
  draining: 'hands over and stops',
  stopped: 'has stopped',
  failed: 'cannot go on and ends',
}
