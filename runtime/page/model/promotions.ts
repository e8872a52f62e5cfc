/**
 * Promotions, put together from what the actors of several nodes did: each is the succession of
 * one primary, with the evidence about that one and about no other node.
 */
import type { PromotionReport } from '../../../machines/protocol/events.js'
import type { InspectionStreamEvent } from '../../inspect/schema.js'
import type { PromotionStep } from './promotionStep.js'
import { stateText } from './state.js'
import type { Item } from './state.js'
import { Suspicions } from './suspicions.js'

export interface Candidate {
  readonly node: string
  /** Last state of its promotion so far: won, stoodDown, blocked … */
  readonly state: string
  readonly reason: string | null
}

export interface Promotion {
  readonly id: string
  readonly space: string
  /** The primary that is succeeded; null: not known, or there was none. */
  readonly from: string | null
  /** When that one was last heard, as the new primary measured it; else of the first step. */
  readonly beginMs: number
  /** When writes were taken again; until then, of the last step so far. */
  readonly endMs: number
  readonly winner: string | null
  /** The epoch that was won. null before. */
  readonly epoch: number | null
  /** True if it takes writes again. */
  readonly isServing: boolean
  /** Reason why the former epoch ended. */
  readonly vacancy: string | null
  /** Result of the winner's survey: members that answered, and their positions. */
  readonly survey: string | null
  readonly candidates: readonly Candidate[]
  /** In order of time. */
  readonly steps: readonly PromotionStep[]
  /** The new primary's report. null before it, and in recordings without events. */
  readonly report: PromotionReport | null
}

type Change = Extract<InspectionStreamEvent, { type: 'transition' | 'actor' }>

/** Fields of the record on which a candidacy is based. */
interface Base {
  readonly epoch: number
  readonly state: string
  readonly holder: string | null
  readonly writer: string | null
  /** True if the record names the candidate, because the space is handed over to it. */
  readonly isAdopted: boolean
}

/** One candidacy of a node for a space, from start to end. */
interface Candidacy {
  readonly node: string
  readonly steps: PromotionStep[]
  vacancy: string | null
  base: Base | null
  wonEpoch: number | null
  servingMs: number | null
}

/** The candidacies for one succession. */
interface Draft {
  readonly space: string
  readonly candidacies: Candidacy[]
}

/** A candidate without a record that begins this long after a promotion belongs to another one. */
const pauseMs = 1_500
/** Time searched for evidence without the primary's report; a hung node keeps its grant 2.2 s. */
const evidenceMs = 6_000
/** Tolerance, since a detector reports its finding after its node acts on it, and clocks differ. */
const lateMs = 100
/** Time by which a node acts on a finding before its detector reports it, ms. */
const findingMs = 10

/** Promotions in order of their beginning. @param items notable items in order of time */
export function promotionsOf(items: readonly Item[]): Promotion[] {
  const open = new Map<string, Candidacy>()
  const bySpace = new Map<string, Candidacy[]>()
  const reports = new Map<string, PromotionReport>()
  const suspicions = new Suspicions()
  for (const item of items) {
    if (item.kind === 'frame') {
      const report = item.frame.kind === 'story' ? item.frame.line.promotion : undefined
      if (report) reports.set(`${report.space} ${report.epoch}`, report)
      continue
    }
    const { event, node, atMs } = item
    if (event.type !== 'transition' && event.type !== 'actor') continue
    const [, kind, name = '', part = ''] = /^(space|detector)\.([^.]+)\.?(.*)$/.exec(event.actor)
      ?? []
    const step = stepOf(atMs, node, event)
    if (kind === 'detector') {
      if (event.type === 'transition') suspicions.note(name, step)
      continue
    }
    const key = `${node} ${name}`
    let candidacy = open.get(key)
    if (isBeginning(part, event, step, candidacy)) {
      candidacy = noSteps(node)
      open.set(key, candidacy)
      bySpace.set(name, [...bySpace.get(name) ?? [], candidacy])
    }
    if (candidacy !== undefined) advance(candidacy, part, step, event)
  }
  return [...bySpace].flatMap(([space, candidacies]) => draftsOf(space, candidacies))
    .map((draft) => promotionOf(draft, reports, suspicions))
    .toSorted((a, b) => a.beginMs - b.beginMs)
}

function noSteps(node: string): Candidacy {
  return { node, steps: [], vacancy: null, base: null, wonEpoch: null, servingMs: null }
}

/** True if a candidate starts, or is seen first because the recording began meanwhile. */
function isBeginning(
  part: string,
  event: Change,
  { state }: PromotionStep,
  before: Candidacy | undefined,
): boolean {
  const hasEnded = before === undefined || /^(won|stoodDown)/.test(lastState(before))
  if (part === '') return state === 'promoting' && hasEnded
  if (part !== 'promotion') return false
  return event.type === 'actor'
    ? hasEnded || before?.steps.some(isStart) === true
    : before === undefined && state !== 'stoodDown'
}

const isStart = ({ what, actor }: PromotionStep): boolean =>
  what === 'begins' && actor.endsWith('.promotion')

function lastState({ steps }: Candidacy): string {
  return steps.findLast(({ actor }) => actor.endsWith('.promotion'))?.state ?? ''
}

function stepOf(atMs: number, node: string, event: Change): PromotionStep {
  const what = event.type === 'actor' ? 'begins' : words(event.event)
  const { actor, reason } = event
  const answers = what === 'surveyed' ? answersOf(event.summary) : []
  return { atMs, node, actor, what, state: stateText(event.state), reason, answers }
}

interface Answer {
  readonly node?: unknown
  readonly position?: { readonly epoch?: unknown; readonly sequence?: unknown }
  readonly serving?: unknown
  readonly whole?: unknown
}

function answersOf(summary: Readonly<Record<string, unknown>>): string[] {
  const answers = summary['answers']
  if (!Array.isArray(answers)) return []
  return answers.map(({ node, position, serving, whole }: Answer) => {
    const at = typeof position === 'object'
      ? ` is at (${position.epoch}, ${position.sequence})`
      : ''
    const torn = whole === false ? ', its log is damaged' : ''
    return `${String(node)}${at}${serving === true ? ', serves' : ''}${torn}`
  })
}

function advance(candidacy: Candidacy, part: string, step: PromotionStep, event: Change): void {
  const { state, reason } = step
  if (part === '') {
    if (state !== 'promoting') return
    candidacy.vacancy ??= /^vacancy: (.*)/.exec(reason ?? '')?.[1] ?? null
  } else if (part === 'promotion') {
    candidacy.base ??= baseOf(event.summary)
    if (state === 'won') candidacy.wonEpoch = recordOf(event.summary)?.epoch ?? null
  } else {
    const hasWon = lastState(candidacy) === 'won'
    if (!hasWon || candidacy.servingMs !== null || !state.startsWith('serving')) return
    candidacy.servingMs = step.atMs
  }
  candidacy.steps.push(step)
}

interface RecordShown {
  readonly epoch?: number
  readonly state?: string
  readonly primary?: { readonly node?: string } | null
  readonly writer?: string
}

function recordOf(summary: Readonly<Record<string, unknown>>): RecordShown | null {
  const record = summary['record'] as { assignment?: RecordShown } | null | undefined
  return record?.assignment ?? null
}

function baseOf(summary: Readonly<Record<string, unknown>>): Base | null {
  const record = recordOf(summary)
  if (typeof record?.epoch !== 'number') return null
  const { epoch, state = '', primary = null, writer = null } = record
  const isAdopted = (summary['adopted'] ?? null) !== null
  return { epoch, state, holder: primary?.node ?? null, writer, isAdopted }
}

/**
 * Groups the candidacies of one space by succession, in order of time. Candidates based on the
 * record of one epoch compete. A candidate based on a failed claim continues the same succession.
 */
function draftsOf(space: string, candidacies: readonly Candidacy[]): Draft[] {
  const drafts: Draft[] = []
  for (const candidacy of candidacies.toSorted((a, b) => firstMs(a) - firstMs(b))) {
    const last = drafts.at(-1)
    if (last !== undefined && belongs(candidacy, last)) last.candidacies.push(candidacy)
    else drafts.push({ space, candidacies: [candidacy] })
  }
  return drafts
}

function belongs(candidacy: Candidacy, { candidacies }: Draft): boolean {
  const { base } = candidacy
  const winner = candidacies.find(({ wonEpoch }) => wonEpoch !== null)
  const afterMs = firstMs(candidacy) - Math.max(...candidacies.map(lastMs))
  if (base === null) return afterMs <= pauseMs
  const wonEpoch = winner?.wonEpoch ?? null
  if (wonEpoch === null || afterMs <= 0) return true
  // A late candidate finds the new primary in the record and steps back.
  const isLate = base.epoch === wonEpoch && afterMs <= pauseMs
    && lastState(candidacy) === 'stoodDown'
  return !base.isAdopted && (base.epoch < wonEpoch || isLate)
}

const firstMs = ({ steps }: Candidacy): number => steps[0]?.atMs ?? 0
const lastMs = ({ steps }: Candidacy): number => steps.at(-1)?.atMs ?? 0

function promotionOf(
  { space, candidacies }: Draft,
  reports: ReadonlyMap<string, PromotionReport>,
  suspicions: Suspicions,
): Promotion {
  const winner = candidacies.find(({ wonEpoch }) => wonEpoch !== null) ?? null
  const epoch = winner?.wonEpoch ?? null
  const report = reports.get(`${space} ${epoch}`) ?? null
  const from = report === null ? formerOf(candidacies) : report.from
  const own = candidacies.flatMap(({ steps }) => steps)
  const firstStepMs = Math.min(...candidacies.map(firstMs))
  const lastStepMs = Math.max(...candidacies.map(lastMs))
  const endMs = report?.atMs ?? winner?.servingMs ?? lastStepMs
  const sinceMs = report === null ? firstStepMs - evidenceMs : report.atMs - report.ms - lateMs
  const evidence = from === null ? [] : suspicions.of(from, firstStepMs, sinceMs, endMs + lateMs)
  const steps = causesFirst([...evidence, ...own])
  const latest = new Map(candidacies.map((one) => [one.node, candidateOf(one)]))
  return {
    id: `${space}@${firstStepMs}`,
    space,
    from,
    endMs,
    epoch,
    report,
    steps,
    beginMs: report === null ? steps[0]?.atMs ?? firstStepMs : report.atMs - report.ms,
    winner: winner?.node ?? null,
    isServing: report !== null || (winner !== null && winner.servingMs !== null),
    vacancy: report?.vacancy ?? candidacies.find(({ vacancy }) => vacancy)?.vacancy ?? null,
    survey: winner?.steps.findLast(({ what }) => what === 'surveyed')?.reason ?? null,
    candidates: [...latest.values()],
  }
}

/** The former primary: the holder of the epoch that was open last. */
function formerOf(candidacies: readonly Candidacy[]): string | null {
  const bases = candidacies.flatMap(({ base }) => base ?? [])
  const open = bases.find(({ state, isAdopted }) => state === 'open' && !isAdopted)
  const adopted = bases.find(({ isAdopted }) => isAdopted)
  return open?.holder ?? adopted?.writer ?? bases[0]?.holder ?? null
}

function candidateOf(candidacy: Candidacy): Candidate {
  const last = candidacy.steps.findLast(({ actor }) => actor.endsWith('.promotion'))
  return {
    node: candidacy.node,
    state: last?.state ?? 'promoting',
    reason: last?.reason ?? null,
  }
}

/**
 * Steps in order of time, causes before effects: a node acts on a finding a millisecond before its
 * detector reports it.
 */
function causesFirst(steps: readonly PromotionStep[]): PromotionStep[] {
  const isFinding = ({ actor }: PromotionStep): boolean => actor.startsWith('detector.')
  const timeOf = (step: PromotionStep): number => {
    if (!isFinding(step)) return step.atMs
    const effects = steps.filter((one) =>
      one.node === step.node && !isFinding(one)
      && one.atMs <= step.atMs && step.atMs - one.atMs <= findingMs
    )
    return Math.min(step.atMs, ...effects.map(({ atMs }) => atMs))
  }
  const rank = (step: PromotionStep): number => isFinding(step) ? 0 : 1
  return steps.map((step) => ({ step, atMs: timeOf(step) }))
    .toSorted((a, b) => a.atMs - b.atMs || rank(a.step) - rank(b.step)).map(({ step }) => step)
}

/** `vacancyProven` → `vacancy proven`, `xstate.after.retry.x` → `after retry`. */
export function words(event: string): string {
  const [, how, name] = /^xstate\.(after|done|error|stop|init)\.?(?:actor\.|state\.)?([^.]*)/
    .exec(event) ?? []
  const plain = how === undefined ? event : `${how} ${name ?? ''}`.trim()
  return plain.replaceAll(/([a-z0-9])([A-Z])/g,
    (_, before: string, after: string) => `${before} ${after.toLowerCase()}`)
}
