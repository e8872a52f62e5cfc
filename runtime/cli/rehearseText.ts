/** Rehearsals, for people. */
import { amountText, bytesText, countText } from '../../machines/base/units.js'
import { showPosition } from '../../machines/log/positions.js'
import type { Rehearsed, RehearsedCandidate } from '../../machines/rehearsal/rehearse.js'
import type { Rehearsal, RehearsalReport } from '../status/rehearsal.js'
import { table } from './text.js'

/** `node`: the one that fails, of several spaces. */
export function showRehearsals(
  { rehearsals, unknown }: RehearsalReport,
  node: string | null,
): string {
  const [only] = rehearsals
  const parts = only && rehearsals.length === 1
    ? [showOne(only)]
    : rehearsals.length > 1
    ? [showMany(rehearsals)]
    : []
  parts.push(...unknown.map(({ space, reason }) => `${space}: nothing can be said: ${reason}`))
  if (parts.length === 0) parts.push(`${node} is a member of no space: nothing depends on it.`)
  return parts.join('\n')
}

function showOne(rehearsal: Rehearsal): string {
  const { space, epoch, node, isPrimary, gone, hangs } = rehearsal
  const role = isPrimary
    ? `${node} is primary`
    : `${node} is no primary${gone.winner === null ? '' : `, ${gone.winner} is`}`
  return [
    `${space}, epoch ${epoch}: ${role}`,
    '',
    `If the process of ${node} were gone now:`,
    ...showFailure(node, gone),
    '',
    `If ${node} hung:`,
    ...showFailure(node, hangs),
  ].join('\n')
}

function showFailure(node: string, rehearsed: Rehearsed): string[] {
  const { candidates, weakest } = rehearsed
  return [
    ...outcomeLines(rehearsed),
    ...showCandidates(candidates),
    ...riskLines(node, rehearsed),
    `weakest point then: ${weakest.text}`,
  ].map((line) => `  ${line}`)
}

function outcomeLines(
  { outcome, winner, orElse, afterMs, reason }: Rehearsed,
): string[] {
  switch (outcome) {
    case 'promotion':
      return [
        `${[winner, ...orElse].join(' or ')} is primary in about ${
          secondsText(afterMs)
        }: ${reason}`,
        ...(orElse.length > 0 ? ['they do not hear each other: the arbiter decides'] : []),
      ]
    case 'stays':
      return [reason, `\`committed\` writes wait for about ${secondsText(afterMs)}`]
    case 'unaffected':
      return [reason]
    case 'blocked':
      return [`blocked: ${reason}`]
  }
}

/** `0.1 s`, which is the least. */
function secondsText(ms: number | null): string {
  return `${(Math.max(100, ms ?? 0) / 1000).toFixed(1)} s`
}

function showCandidates(candidates: readonly RehearsedCandidate[]): string[] {
  if (candidates.length === 0) return []
  return table(['MEMBER', 'AT', 'IN SYNC', 'THEN'], candidates.map((
    { node, position, inSync, reason },
  ) => [node, position ? showPosition(position) : '-', inSync ? 'yes' : 'no', reason]))
    .split('\n').map((line) => `  ${line}`)
}

function riskLines(node: string, { outcome, atRisk, missing, winner }: Rehearsed): string[] {
  if (outcome !== 'promotion' && outcome !== 'blocked') return ['at risk: nothing']
  const { entries, bytes } = atRisk
  const unsafe = entries === 0
    ? 'no acknowledged write is unsafe'
    : `${amountText(entries, 'acknowledged write')} (${bytesText(bytes)}) not safe yet`
  if (missing === null) return [`at risk: ${unsafe}`]
  const lacks = missing === 0
    ? `${winner} has all entries of ${node}`
    : `${winner} lacks ${amountText(missing, 'entry', 'entries')} of ${node}, `
      + 'to be reconciled when its disk is back'
  return [`at risk: ${unsafe}; ${lacks}`]
}

function showMany(rehearsals: readonly Rehearsal[]): string {
  const { node } = rehearsals[0]!
  const rows = rehearsals.map((one) => [
    one.space,
    one.isPrimary ? 'primary' : one.gone.outcome === 'unaffected' ? '-' : 'in sync',
    cell(one.gone),
    cell(one.hangs),
    countText(one.gone.atRisk.entries),
    one.gone.weakest.text,
  ])
  const blocked = rehearsals.flatMap(({ space, gone, hangs }) =>
    [gone, hangs].filter(({ outcome }) => outcome === 'blocked')
      .map(({ reason }) => `${space}: blocked: ${reason}`)
  )
  return [
    table(['SPACE', 'ROLE', `IF ${node} IS GONE`, 'IF IT HANGS', 'AT RISK', 'WEAKEST POINT THEN'],
      rows),
    ...new Set(blocked),
  ].join('\n')
}

function cell({ outcome, winner, orElse, afterMs }: Rehearsed): string {
  switch (outcome) {
    case 'promotion':
      return `${[winner, ...orElse].join(' or ')} in ${secondsText(afterMs)}`
    case 'stays':
      return `${winner} goes on`
    case 'unaffected':
      return 'nothing changes'
    case 'blocked':
      return 'blocked'
  }
}
