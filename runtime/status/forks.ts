/**
 * Open forks of a space (forkNotes.ts) for operators: numbers for the status, and sentences. Types
 * and arithmetic only, so that the page can use it.
 */
import type { ForkReader } from '../../actors/ports/store.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import { amountText, countText } from '../../machines/base/units.js'
import { missingCount } from '../../machines/log/salvageParts.js'
import type { ForkStatus, ClusterSpace, OpenReport } from './status.js'

/** Limit of the open reports in a status; the latest are shown. `open` counts them all. */
export const openReportsMax = 16

/** Null if nothing is open and nothing in quarantine: the usual case, which costs nothing. */
export function forksStatusOf(
  store: Pick<ForkReader, 'openReportCount' | 'quarantineCount' | 'reports'>,
): ForkStatus | null {
  const { openReportCount, quarantineCount } = store
  if (!openReportCount && !quarantineCount) return null
  const open = openReportCount ? store.reports().filter(({ outcome }) => outcome === null) : []
  const salvages = new Set(
    open.flatMap((report) => waitingIn(report).map(({ node, name }) => `${node} ${name}`)),
  )
  return {
    open: openReportCount,
    quarantined: quarantineCount,
    waiting: open.reduce((sum, report) => sum + waitingWrites(report), 0),
    salvagesWaiting: salvages.size,
    reports: open.slice(-openReportsMax).map((report) => openReportOf(report)),
  }
}

export function openReportOf(report: ForkReport): OpenReport {
  const { epoch, node, atMost, resent, merged, superseded, quarantined, openedAtMs } = report
  return {
    epoch,
    node,
    atLeast: atLeast(report),
    atMost,
    resent,
    merged,
    superseded,
    quarantined,
    waiting: waitingWrites(report),
    openedAtMs,
    waitsOn: [...new Set(waitingIn(report).map((salvage) => salvage.node))],
  }
}

/** Entries that were heard of but are not in the log of the next primary. */
export function atLeast({ lastKnown, forkPoint }: ForkReport): number {
  return Math.max(0, lastKnown - forkPoint.sequence)
}

function waitingIn({ salvages }: ForkReport): ForkReport['salvages'] {
  return salvages.filter(({ state }) => state === 'waiting')
}

/**
 * Writes of that epoch in salvages that wait to be uploaded. If several members kept some, the most
 * that one has, since they kept beginnings of one log. Some may be reconciled already.
 */
export function waitingWrites(report: ForkReport): number {
  const { epoch } = report
  return Math.max(0, ...waitingIn(report).map((salvage) => {
    const writes = salvage.spans.find((span) => span.epoch === epoch)?.writes ?? 0
    return writes - missingCount(salvage, epoch)
  }))
}

/** `at least 10`, `at least 10, at most 100`: entries, including the first one of an epoch. */
export function atRiskText(
  { atLeast: least, atMost }: Pick<OpenReport, 'atLeast' | 'atMost'>,
): string {
  const most = atMost === null ? '' : `, at most ${countText(atMost)}`
  return `at least ${countText(least)}${most}`
}

/** One open report in a sentence. */
export function reportText(report: OpenReport): string {
  const { epoch, node, atLeast: least, resent, merged, superseded, quarantined, waiting } = report
  const found = ([
    [resent, 'sent again'],
    [merged, 'merged'],
    [superseded, 'superseded'],
    [quarantined, 'quarantined'],
    [waiting, 'waiting in salvages'],
  ] as const).filter(([count]) => count > 0)
    .map(([count, what]) => `${countText(count)} ${what}`)
  const head = `Epoch ${epoch}, primary ${node}:`
  if (least === 0 && report.atMost === null && found.length === 0) {
    return `${head} no unreplicated write is known.`
  }
  return `${head} ${atRiskText(report)} `
    + `${least === 1 && report.atMost === null ? 'entry' : 'entries'} at risk; `
    + `${found.length === 0 ? 'none is reconciled yet' : found.join(', ')}.`
}

/** The reason why a report is still open, and the commands that help. */
export function waitText(report: OpenReport, space: Told): string {
  const { node, epoch, waitsOn, waiting } = report
  const close = `engram forks close ${space.id} ${epoch}`
  const isHere = (id: string): boolean =>
    space.members.some(({ node, role, state }) =>
      node === id && role !== 'unknown' && state !== 'unreachable'
    )
  const away = waitsOn.filter((id) => !isHere(id))
  const writes = amountText(waiting, 'write')
  if (away.length > 0) {
    return `${away.join(' and ')} ${away.length === 1 ? 'keeps' : 'keep'} ${writes} and `
      + `${away.length === 1 ? 'has' : 'have'} to come back, or: ${close}`
  }
  if (waitsOn.length > 0) {
    const where = `${writes} in ${waitsOn.length === 1 ? 'a salvage' : 'salvages'} of `
      + waitsOn.join(' and ')
    if (space.reconcile === 'off') {
      return `${where}, kept there since reconcile is off. To reconcile: engram space set `
        + `${space.id} --reconcile automatic. To give up: ${close}`
    }
    if (space.reconcile === 'manual') {
      return `${where}. To reconcile: engram forks reconcile ${space.id}`
    }
    return `${where}, being reconciled`
  }
  return isHere(node)
    ? `${node} is here, but has not reported all its salvages yet`
    : `${node} has to come back, or: ${close}`
}

type Told = Pick<ClusterSpace, 'id' | 'members' | 'reconcile'>

/** Open reports and quarantine, each with the command that shows it; empty if there are none. */
export function forkLines({ id, forks }: Pick<ClusterSpace, 'id' | 'forks'>): string[] {
  if (!forks) return []
  const { open, quarantined } = forks
  const lines: string[] = []
  if (open > 0) {
    lines.push(`${amountText(open, 'open fork report')}: engram forks ${id}`)
  }
  if (quarantined > 0) {
    lines.push(`${amountText(quarantined, 'write')} in quarantine: `
      + `engram quarantine list ${id}`)
  }
  return lines
}
