/** Recorded events as sentences. */
import { amountText, msText } from '../../machines/base/units.js'
import { handoverReason, vacancyText } from '../../machines/election/vacancy.js'
import { isRecovery } from '../../machines/protocol/events.js'
import type { ClusterEvent, PromotionReport,
  RecordedEvent } from '../../machines/protocol/events.js'
import type { EventKind, EventLine } from './eventLine.js'

/** A line. Its time is set only if it differs from the event's. */
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

/** Sentence on a promotion: the new primary, the reason, and the interruption. */
export function takeoverText(promotion: PromotionReport): string {
  const { space, epoch, from, to, reason, ms } = promotion
  if (from === null) return `${to} is the first primary of ${space}, in epoch ${epoch}`
  const again = from === to ? ' again' : ''
  const head = `${to} is the primary of ${space}${again}, in epoch ${epoch}: ${reason}`
  return isHandover(promotion)
    ? `${head}. Writes waited for ${msText(ms)}`
    : `${head}. Writes were interrupted for ${msText(ms)}${riskClause(promotion)}`
}

/** True for a planned promotion: the former primary held writes back, so none is missing. */
export function isHandover({ from, vacancy, reason }: PromotionReport): boolean {
  return vacancy === 'resigned' && reason === handoverReason(from ?? '')
}

/** Clause on writes that only the former primary had. */
function riskClause({ atRisk, from, to }: PromotionReport): string {
  if (atRisk === null) return `; it is not known whether ${from} had writes that are missing here`
  if (atRisk === 0 || from === to) return '; no write is known to be missing'
  return `; at least ${amountText(atRisk, 'write')} of ${from} ${
    atRisk === 1 ? 'is' : 'are'
  } missing until `
    + 'it returns'
}

interface Progress {
  readonly kind: EventKind
  readonly begins: string
}

/** Notices that report progress rather than call for help. */
const progress: ReadonlyMap<string, Progress> = new Map([
  ['inSyncShrunk', { kind: 'inSync', begins: 'fewer members are in sync; ' }],
  ['inSyncGrown', { kind: 'inSync', begins: 'more members are in sync; ' }],
  ['memberChangeOrdered', { kind: 'alert', begins: '' }],
  ['memberChangeCancelled', { kind: 'alert', begins: '' }],
  ['memberGone', { kind: 'alert', begins: '' }],
  ['memberAdded', { kind: 'inSync', begins: '' }],
  ['memberRemoved', { kind: 'inSync', begins: '' }],
  ['fork', { kind: 'fork', begins: '' }],
  ['forkReportOpened', { kind: 'fork', begins: '' }],
  ['forkReportClosed', { kind: 'fork', begins: '' }],
  ['quarantined', { kind: 'fork', begins: '' }],
  ['settingsChanged', { kind: 'alert', begins: '' }],
  ['arbiterAccepts', { kind: 'alert', begins: '' }],
  ['paused', { kind: 'alert', begins: '' }],
  ['resumed', { kind: 'alert', begins: '' }],
  ['dropped', { kind: 'alert', begins: '' }],
])

/** What an alert was about is over. */
const cleared: Progress = { kind: 'alert', begins: '' }

function notice(event: EventOf<'notice'>): Sentence {
  const { node, space, kind: alert, isAlert, detail } = event
  const message = alert === 'forkReportClosed' ? settledText(event) : event.message
  const { epoch } = detail
  const fields = {
    node,
    space,
    ...(typeof epoch === 'number' ? { epoch } : {}),
    alert,
    detail,
  }
  const found = progress.get(alert) ?? (isRecovery(alert) ? cleared : undefined)
  if (found) return { kind: found.kind, text: `${space}: ${found.begins}${message}`, ...fields }
  const text = isAlert
    ? `ALERT ${alert}: ${space}: ${message} (reported by ${node})`
    : `${space}: ${message}`
  return { kind: 'alert', text, ...fields }
}

/** Sentence on a closed fork report. */
function settledText({ message, detail }: EventOf<'notice'>): string {
  const { epoch, outcome, lost, formerPrimary, reason } = detail
  const node = typeof formerPrimary === 'string' ? formerPrimary : 'its primary'
  const former = `${node} (epoch ${epoch})`
  const loss = typeof lost !== 'number' || lost === 0
    ? 'no write is lost'
    : `at least ${amountText(lost, 'write')} ${lost === 1 ? 'is' : 'are'} lost`
  switch (outcome) {
    case 'level':
      return `settled: ${former} had no write that the others lack; ${loss}`
    case 'reconciled':
      return `settled: the writes that only ${former} had were merged; ${loss}`
    case 'lost':
      return `settled for ${former}: ${reason}; ${loss}`
    case 'dismissed':
      return `an operator closed the report on ${former}`
    default:
      return message
  }
}

function peer({ node, peer: other, state, vacancy, reason }: EventOf<'peer'>): Sentence {
  const why = vacancy ? `: ${vacancyText(vacancy, other)}` : ''
  const text = {
    gone: `${other} is gone, reported by ${node}${why}`,
    left: `${other} has left, reported by ${node}`,
    back: `${other} is back, reported by ${node}`,
  }[state]
  return {
    kind: 'node',
    text,
    node,
    peer: other,
    reason,
    state: state === 'gone' ? 'dead' : state === 'back' ? 'alive' : state,
  }
}

const nodeTexts: Readonly<Record<EventOf<'node'>['state'], string>> = {
  running: 'runs',
  isolated: 'has lost its connection to NATS and is primary of no space until it is back',
  reconnected: 'is connected to NATS again',
  draining: 'hands over and stops',
  stopped: 'has stopped',
  failed: 'has failed and ends',
}
