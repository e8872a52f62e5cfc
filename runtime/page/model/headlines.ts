/**
 * Headlines on spaces with a failover, readable without prior knowledge: which primary is gone
 * since when, which writes no other disk had, who takes over, how long writes waited, what is at
 * risk.
 */
import type { Vacancy } from '../../../machines/base/ids.js'
import { vacancyText } from '../../../machines/election/vacancy.js'
import type { PromotionReport } from '../../../machines/protocol/events.js'
import { defaultTimes } from '../../../machines/protocol/defaultTimes.js'
import type { EventLine } from '../../inspect/eventLine.js'
import { isHandover } from '../../inspect/sentences.js'
import type { ClusterSpace } from '../../status/status.js'
import { absenceOf } from './presence.js'
import type { Absence } from './presence.js'
import type { Promotion } from './promotions.js'
import { stateText } from './state.js'
import type { Item, PageState } from './state.js'
import { amountText, bytesText, momentText, msText } from './words.js'

export interface Headline {
  readonly space: string
  /** down: no primary takes writes. open: a new one does, and the report is not closed yet. */
  readonly state: 'down' | 'blocked' | 'open' | 'settled'
  readonly title: string
  /** One sentence each. */
  readonly lines: readonly string[]
}

export interface Facts {
  readonly promotions: readonly Promotion[]
  /** Live and past events, in order of time. */
  readonly lines: readonly EventLine[]
  /** Statuses among others, in order of time. */
  readonly measured: readonly Item[]
}

/** Time that a settled failover stays in the headlines, ms. */
const settledMs = 15 * 60_000
/** The report of a promotion arrives within this time, ms. */
const freshMs = 5_000
/** A report is opened with the first entry of the new primary. */
const openedWithinMs = 10_000
/** Time without a step after which a promotion counts as failed. A blocked one keeps trying. */
const abandonedMs = 60_000
/** Number of statuses searched for the last one of the primary. */
const looksMax = 400

/** Factor by which candidates wait longer than the lease. */
const { grantMargin } = defaultTimes

/** Lines about primaries, by space; computed once for each list. */
const bySpace = new WeakMap<readonly EventLine[], ReadonlyMap<string, readonly EventLine[]>>()

function linesOf(space: string, lines: readonly EventLine[]): readonly EventLine[] {
  const known = bySpace.get(lines) ?? indexed(lines)
  bySpace.set(lines, known)
  return known.get(space) ?? []
}

function indexed(lines: readonly EventLine[]): ReadonlyMap<string, readonly EventLine[]> {
  const index = new Map<string, EventLine[]>()
  for (const line of lines) {
    const { space, promotion, alert } = line
    if (space === undefined || (!promotion && !shownAlerts.has(alert ?? ''))) continue
    const list = index.get(space)
    if (list) list.push(line)
    else index.set(space, [line])
  }
  return index
}

const shownAlerts: ReadonlySet<string> = new Set(['blocked', 'forkReportOpened',
  'forkReportClosed'])

const ranks = { down: 0, blocked: 1, open: 2, settled: 3 } as const

/** Headlines, worst first. A space without news has none. */
export function headlinesOf(state: PageState, facts: Facts, atMs: number): Headline[] {
  return (state.status?.spaces ?? [])
    .flatMap((space) => headlineOf(space, state, facts, atMs) ?? [])
    .toSorted((a, b) => ranks[a.state] - ranks[b.state])
}

function headlineOf(
  space: ClusterSpace,
  state: PageState,
  facts: Facts,
  atMs: number,
): Headline | null {
  if (isServed(space, state)) return pastHeadline(space.id, facts, atMs)
  const running = facts.promotions.findLast((one) =>
    one.space === space.id
    && one.beginMs <= atMs && (one.isServing ? one.endMs > atMs : atMs - one.endMs < abandonedMs)
  )
  const from = running?.from ?? space.primary
  const absence = from === null ? null : absenceOf(state, from)
  if (running === undefined && absence === null && space.blocked === null) return null
  if (space.blocked !== null && !isUnderWay(running, atMs)) {
    return blockedHeadline(space, atMs, facts)
  }
  const sinceMs = Math.min(running?.beginMs ?? Infinity, absence?.sinceMs ?? Infinity)
  return {
    space: space.id,
    state: 'down',
    title: downTitle(space.id, from, absence),
    lines: [
      goneLine(from, absence, sinceMs, atMs),
      lossLine(space.id, from, facts, atMs),
      candidateLine(running, from, state, atMs),
      `Writes have waited for ${msText(atMs - sinceMs)}.`,
    ].filter((line) => line !== ''),
  }
}

function downTitle(space: string, from: string | null, absence: Absence | null): string {
  if (from === null) return `${space} has no primary`
  const how = absence?.isProven === false ? 'not heard' : 'gone'
  return `${from}, the primary of ${space}, is ${how}`
}

/** True if a member that is present takes writes. */
function isServed({ id, primary, members }: ClusterSpace, state: PageState): boolean {
  const roles = [...state.nodes.values()].filter(({ actors }) => {
    const role = actors.get(`space.${id}.primary`)
    return role !== undefined && role.exit === null && /^(serving|handingOver)/.test(
      stateText(role.state),
    )
  })
  if (roles.length > 0) return roles.some((node) => absenceOf(state, node.id) === null)
  // If nothing is known of actors, the status decides.
  const isShown = state.nodes.size === 0
  return isShown && members.some(({ node, role }) => node === primary && role === 'primary')
}

function isUnderWay(running: Promotion | undefined, atMs: number): boolean {
  const last = running?.steps.findLast((step) => step.atMs <= atMs)
  return last !== undefined && !/^(blocked|held)/.test(last.state)
}

function goneLine(
  from: string | null,
  absence: Absence | null,
  sinceMs: number,
  atMs: number,
): string {
  if (from === null || !Number.isFinite(sinceMs)) return ''
  const why = absence === null ? '' : ` ${capital(absence.text)}.`
  return `Last heard at ${momentText(sinceMs, atMs)}.${why}`
}

/** The writes that only the primary's disk had, by its last status. */
function lossLine(space: string, from: string | null, { measured }: Facts, atMs: number): string {
  if (from === null) return ''
  let looks = 0
  for (let index = measured.length - 1; index >= 0 && looks < looksMax; index -= 1) {
    const item = measured[index]
    if (item?.kind !== 'frame' || item.frame.kind !== 'status' || item.atMs > atMs) continue
    looks += 1
    const shown = item.frame.status?.spaces.find(({ id }) => id === space)
    const isSaid = shown?.members.some(({ node, role }) => node === from && role === 'primary')
    if (!isSaid || shown === undefined) continue
    const { entries, bytes } = shown.lossWindow
    return entries === 0
      ? `As last known, ${msText(atMs - item.atMs)} ago, every write was on a `
        + 'second disk.'
      : `As last known, ${msText(atMs - item.atMs)} ago, not yet on a second disk: `
        + `${amountText(entries, 'write')} (${bytesText(bytes)}).`
  }
  return `It is not known whether ${from} had writes that no other disk has.`
}

const steps: Readonly<Record<string, string>> = {
  surveying: 'it asks the in-sync members for their progress',
  standingBy: 'it lets a better candidate go first',
  awaitingVacancy: 'it waits for proof that the former primary has ended',
  claiming: 'it claims the next epoch',
  opening: 'it opens its epoch',
  confirming: 'it confirms its epoch at the arbiter',
  won: 'it has won and begins to take writes',
}

function candidateLine(
  running: Promotion | undefined,
  from: string | null,
  state: PageState,
  atMs: number,
): string {
  const own = (running?.steps ?? []).filter((step) =>
    step.atMs <= atMs
    && step.actor.endsWith('.promotion') && !step.state.startsWith('stoodDown')
  )
  const best = own.findLast(({ node }) => node === running?.winner)
    ?? own.findLast((step) => !step.state.startsWith('standingBy')) ?? own.at(-1)
  if (best === undefined) {
    if (from === null) return 'There is no candidate yet.'
    const lease = msText((state.start?.times.grantMs ?? 2_000) * grantMargin)
    return `No member takes over yet. The lease of ${from} has to expire first (${lease} after its `
      + 'last message), unless NATS reports that it is gone.'
  }
  const step = steps[best.state.split('.')[0] ?? ''] ?? best.state
  return `${best.node} takes over: ${step}.`
}

function blockedHeadline(space: ClusterSpace, atMs: number, { lines }: Facts): Headline {
  const { id, blocked } = space
  const since = linesOf(id, lines).findLast(({ alert, at }) =>
    alert === 'blocked'
    && Date.parse(at) <= atMs
  )
  return {
    space: id,
    state: 'blocked',
    title: `${id} has no primary, and none can be promoted`,
    lines: [
      `${capital(blocked ?? '')}.`,
      ...(since ? [`Writes have waited since ${momentText(Date.parse(since.at), atMs)}.`] : []),
      remedyOf(space),
    ],
  }
}

function remedyOf({ id, paused, arbiterReason }: ClusterSpace): string {
  if (paused) return `Make failover automatic again: engram resume ${id}`
  if (arbiterReason) return 'Fix the problem at the arbiter first.'
  return `Start one of these nodes, or force a promotion: engram promote ${id} --to NODE --force`
}

/** Headline of a takeover whose report has not arrived yet. null if there is none. */
function freshHeadline(
  space: string,
  report: PromotionReport | null,
  { promotions }: Facts,
  atMs: number,
): Headline | null {
  const last = promotions.findLast((one) =>
    one.space === space && one.isServing
    && one.endMs <= atMs && atMs - one.endMs < freshMs
  )
  if (last === undefined || last.from === null || last.winner === null) return null
  if (last.report !== null || last.vacancy === null || (report?.epoch ?? 0) >= (last.epoch ?? 0)) {
    return null
  }
  const { from, winner, vacancy, epoch, endMs } = last
  return {
    space,
    state: 'open',
    title: tookOver(winner, space, from),
    lines: [
      `At ${momentText(endMs, atMs)}, in epoch ${epoch}: ${vacancyText(vacancy as Vacancy, from)}.`,
      'Writes are accepted again.',
    ],
  }
}

function tookOver(to: string, space: string, from: string): string {
  return from === to
    ? `${to} is the primary of ${space} again`
    : `${to} took over ${space} from ${from}`
}

/** Headline of the last failover. null if there was none or it was settled long ago. */
function pastHeadline(space: string, facts: Facts, atMs: number): Headline | null {
  const report = lastFailover(space, facts, atMs)
  const fresh = freshHeadline(space, report, facts, atMs)
  if (fresh !== null || report === null) return fresh
  const closed = settlementOf(report, facts, atMs)
  const untilMs = closed === null ? report.atMs : Date.parse(closed.at)
  const isSettled = closed !== null || !isReportOpen(report, facts)
  if (isSettled && atMs - untilMs > settledMs) return null
  const { from, to, epoch, ms, reason } = report
  return {
    space,
    state: isSettled ? 'settled' : 'open',
    title: tookOver(to, space, from ?? ''),
    lines: [
      `At ${momentText(report.atMs, atMs)}, in epoch ${epoch}: ${reason}.`,
      `Writes were interrupted for ${msText(ms)}.`,
      riskLine(report, closed, isSettled),
    ],
  }
}

export function lastFailover(
  space: string,
  { lines }: Facts,
  atMs: number,
): PromotionReport | null {
  const line = linesOf(space, lines).findLast(({ promotion }) =>
    promotion !== undefined
    && promotion.atMs <= atMs && promotion.from !== null && !isHandover(promotion)
  )
  return line?.promotion ?? null
}

function isOf({ detail, alert }: EventLine, report: PromotionReport, kind: string): boolean {
  return alert === kind && Number(detail?.['epoch']) < report.epoch
    && detail?.['formerPrimary'] === report.from
}

/** True if this promotion opened a report on the former primary. */
function isReportOpen(report: PromotionReport, { lines }: Facts): boolean {
  return linesOf(report.space, lines).some((line) =>
    isOf(line, report, 'forkReportOpened')
    && Math.abs(Date.parse(line.at) - report.atMs) < openedWithinMs
  )
}

function settlementOf(report: PromotionReport, { lines }: Facts, atMs: number): EventLine | null {
  return linesOf(report.space, lines).find((line) => {
    const atLineMs = Date.parse(line.at)
    return isOf(line, report, 'forkReportClosed') && atLineMs >= report.atMs && atLineMs <= atMs
  }) ?? null
}

function riskLine(
  { from, atRisk }: PromotionReport,
  closed: EventLine | null,
  isSettled: boolean,
): string {
  if (closed !== null) return `${capital(closed.text.replace(/^[^:]+: /, ''))}.`
  if (isSettled) return 'No write is missing.'
  const settles = `This is settled when ${from} returns.`
  const risk = atRisk === null
    ? `It is not known whether ${from} had writes that are missing here.`
    : atRisk === 0
    ? 'No write is known to be missing.'
    : `At least ${amountText(atRisk, 'write')} of ${from} ${
      atRisk === 1 ? 'is' : 'are'
    } missing here.`
  return `${risk} ${settles}`
}

function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
