/** Longest time without an answer, less excused periods. Pure. */

/** A period, in ms of one clock. */
export interface Span {
  readonly fromMs: number
  readonly toMs: number
}

/** A period in which no promise was due, and why. */
export interface Excuse extends Span {
  readonly why: string
}

export interface Outage {
  /** Longest stretch without any positive answer, excuses cut out. */
  readonly worstMs: number
  /** Beginning of that stretch. null if there was none. */
  readonly atMs: number | null
  /** Longest time between two positive answers, nothing cut out. */
  readonly rawWorstMs: number
}

/**
 * Computes the outage. A gap is the time between two consecutive positive answers, before the first
 * or after the last. Excuses are cut out of it. Each stretch that is left counts by itself, since
 * the promise begins anew when an excuse ends.
 *
 * Worked example: answers at 0 and 9,000, the broker down from 2,000 to 5,000: stretches of 2,000
 * and 4,000; the worst is 4,000.
 */
export function outageOf(
  answersMs: readonly number[],
  within: Span,
  excuses: readonly Span[],
): Outage {
  const times = [within.fromMs, ...answersMs.toSorted((a, b) => a - b), within.toMs]
  const cuts = union(excuses)
  let worst: Outage = { worstMs: 0, atMs: null, rawWorstMs: 0 }
  for (let n = 1; n < times.length; n += 1) {
    const gap = { fromMs: times[n - 1] ?? 0, toMs: times[n] ?? 0 }
    const raw = gap.toMs - gap.fromMs
    if (raw > worst.rawWorstMs) worst = { ...worst, rawWorstMs: raw }
    if (raw <= worst.worstMs) continue
    for (const { fromMs, toMs } of without(gap, cuts)) {
      if (toMs - fromMs > worst.worstMs) worst = { ...worst, worstMs: toMs - fromMs, atMs: fromMs }
    }
  }
  return worst
}

/** Merges spans into ascending ones that do not touch. */
function union(spans: readonly Span[]): Span[] {
  const merged: Span[] = []
  for (const span of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = merged.at(-1)
    if (!last || span.fromMs > last.toMs) merged.push(span)
    else merged[merged.length - 1] = { ...last, toMs: Math.max(last.toMs, span.toMs) }
  }
  return merged
}

/** The rest of a span. Cuts are ascending and do not touch. */
function without(span: Span, cuts: readonly Span[]): Span[] {
  const left: Span[] = []
  let at = span.fromMs
  for (const cut of cuts) {
    if (cut.toMs <= at || cut.fromMs >= span.toMs) continue
    if (cut.fromMs > at) left.push({ fromMs: at, toMs: cut.fromMs })
    at = cut.toMs
  }
  if (at < span.toMs) left.push({ fromMs: at, toMs: span.toMs })
  return left
}

/** The in-sync set as of a time. */
export interface InSyncAt {
  readonly atMs: number
  readonly inSync: readonly string[]
}

/**
 * Periods in which every in-sync member was down, so that no member could be the primary.
 * @param history ascending, each set valid until the next
 * @param down periods in which a fault had stopped or isolated a node
 */
export function nobodyInSync(
  history: readonly InSyncAt[],
  down: readonly (Span & { readonly node: string })[],
  endMs: number,
): Excuse[] {
  const found: Excuse[] = []
  for (const [n, { atMs, inSync }] of history.entries()) {
    const holds: Span = { fromMs: atMs, toMs: history[n + 1]?.atMs ?? endMs }
    let common: Span[] = inSync.length > 0 ? [holds] : []
    for (const node of inSync) {
      const spans = down.filter((one) => one.node === node)
      common = common.flatMap((span) => spans.flatMap((one) => overlap(span, one)))
    }
    found.push(...common.map((span) => ({
      ...span,
      why: `no in-sync member (${inSync.join(', ')}) was up`,
    })))
  }
  return found
}

function overlap(a: Span, b: Span): Span[] {
  const both = { fromMs: Math.max(a.fromMs, b.fromMs), toMs: Math.min(a.toMs, b.toMs) }
  return both.fromMs < both.toMs ? [both] : []
}
