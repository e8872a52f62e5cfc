/** Promotions, put together from what the actors of several nodes did. */
import type { InspectionStreamEvent } from '../../inspect/schema.js'
import { stateText } from './state.js'
import type { Item } from './state.js'

export interface PromotionStep {
  readonly atMs: number
  readonly node: string
  readonly actor: string
  /** What happened, in words: `vacancy proven`. */
  readonly what: string
  /** State that it led to. */
  readonly state: string
  readonly reason: string | null
  /** Of a survey: what each member that answered said of itself. */
  readonly answers: readonly string[]
}

export interface Candidate {
  readonly node: string
  /** Last state of its promotion so far: won, stoodDown, blocked … */
  readonly state: string
  readonly reason: string | null
}

export interface Promotion {
  readonly id: string
  readonly space: string
  /** Of the first step: a suspicion, or a vacancy that was found. */
  readonly beginMs: number
  /** Of the last step so far. */
  readonly endMs: number
  readonly winner: string | null
  /** That was won; null before. */
  readonly epoch: number | null
  /** It takes writes again. */
  readonly isServing: boolean
  /** What made the reign before it end. */
  readonly vacancy: string | null
  /** What the winner found in its survey: who answered, and how far they are. */
  readonly survey: string | null
  readonly candidates: readonly Candidate[]
  readonly steps: readonly PromotionStep[]
}

type Change = Extract<InspectionStreamEvent, { type: 'transition' | 'actor' }>
type Draft = { -readonly [K in keyof Promotion]: Promotion[K] } & {
  steps: PromotionStep[]
  candidates: Candidate[]
}

/** A candidate that begins so long after the last step stands in another promotion. */
const pauseMs = 1_500
/** A suspicion so long before a vacancy belongs to it: a hung node keeps its grant for 2.2 s. */
const suspicionMs = 6_000
/** The probe that found a vacancy may be told as a change of the detector only after it. */
const lateMs = 100
const suspicious = /^(suspect|probing|unreachable|dead|left)/

/** In order of their beginning. @param items the notable ones, in order of time */
export function promotionsOf(items: readonly Item[]): Promotion[] {
  const found: Draft[] = []
  const open = new Map<string, Draft>()
  let suspicions: PromotionStep[] = []
  for (const item of items) {
    if (item.kind !== 'event') continue
    const { event, node, atMs } = item
    if (event.type !== 'transition' && event.type !== 'actor') continue
    const [, kind, name = '', part] = /^(space|detector)\.([^.]+)\.?(.*)$/.exec(event.actor) ?? []
    const step = stepOf(atMs, node, event)
    if (kind === 'detector') {
      if (event.type !== 'transition' || !suspicious.test(step.state)) continue
      const under = [...open.values()].filter(({ endMs }) => atMs <= endMs + lateMs)
      for (const draft of under) draft.steps.push(step)
      if (under.length > 0) continue
      suspicions = [...suspicions.filter((one) => atMs - one.atMs < suspicionMs), step]
      continue
    }
    let draft = open.get(name)
    const isBegin = part === 'promotion' || (part === '' && step.state === 'promoting')
    if (isBegin && (draft === undefined || atMs - draft.endMs > pauseMs)) {
      draft = begin(name, step, suspicions)
      suspicions = []
      open.set(name, draft)
      found.push(draft)
    }
    if (draft !== undefined) advance(draft, part ?? '', step, event)
  }
  for (const draft of found) draft.steps.sort((a, b) => a.atMs - b.atMs || rank(a) - rank(b))
  return found
}

/** Of steps of one millisecond: the cause first. */
function rank({ actor }: PromotionStep): number {
  return actor.startsWith('detector.') ? 0 : 1
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
      ? ` is at (${position.epoch}, ${position.sequence})` : ''
    const torn = whole === false ? ', its log is damaged' : ''
    return `${String(node)}${at}${serving === true ? ', serves' : ''}${torn}`
  })
}

function begin(space: string, step: PromotionStep, suspicions: PromotionStep[]): Draft {
  const steps = suspicions.filter(({ atMs }) => step.atMs - atMs < suspicionMs)
  return {
    id: `${space}@${step.atMs}`, space, beginMs: steps[0]?.atMs ?? step.atMs, endMs: step.atMs,
    winner: null, epoch: null, isServing: false, vacancy: null, survey: null,
    candidates: [], steps,
  }
}

function advance(draft: Draft, part: string, step: PromotionStep, event: Change): void {
  const { node, state, reason } = step
  if (part === '') {
    if (state !== 'promoting') return
    draft.vacancy ??= reason?.replace(/^vacancy: /, '') ?? null
  } else if (part === 'promotion') {
    const candidate = { node, state, reason }
    draft.candidates = [...draft.candidates.filter((one) => one.node !== node), candidate]
    if (state === 'won') {
      draft.winner = node
      draft.epoch = epochOf(event.summary)
      const survey = draft.steps.findLast((one) => one.node === node && one.what === 'surveyed')
      draft.survey = survey?.reason ?? null
    }
  } else {
    if (draft.isServing || !state.startsWith('serving') || step.atMs - draft.endMs > pauseMs) return
    draft.isServing = true
  }
  draft.steps.push(step)
  draft.endMs = Math.max(draft.endMs, step.atMs)
}

function epochOf(summary: Readonly<Record<string, unknown>>): number | null {
  const record = summary['record'] as { assignment?: { epoch?: unknown } } | null | undefined
  const epoch = record?.assignment?.epoch
  return typeof epoch === 'number' ? epoch : null
}

/** `vacancyProven` → `vacancy proven`, `xstate.after.retry.x` → `after retry`. */
export function words(event: string): string {
  const [, how, name] = /^xstate\.(after|done|error|stop|init)\.?(?:actor\.|state\.)?([^.]*)/
    .exec(event) ?? []
  const plain = how === undefined ? event : `${how} ${name ?? ''}`.trim()
  return plain.replaceAll(/([a-z0-9])([A-Z])/g, (_, before: string, after: string) =>
    `${before} ${after.toLowerCase()}`)
}
