/** The audit of `engram chaos` as text. */
import { faultKinds } from '../chaos/plan.js'
import { places } from '../chaos/records.js'
import type { ChaosReport } from '../chaos/run.js'
import { showCount, showMs, table } from './text.js'

const shownMax = 10

export function showAudit(report: ChaosReport): string {
  return [
    `${showCount(report.written)} records written to ${report.space} in ${showMs(report.ms)}`,
    '',
    levels(report),
    '',
    `duplicates    ${report.duplicates}`,
    `refused       ${showCount(report.refused)} (not applied)`,
    `no answer     ${showCount(report.unknown)}, of which ${
      showCount(report.unknownPresent)
    } are in the log`,
    `unavailable   ${showMs(report.unavailability.worstMs)} at worst (limit ${
      showMs(report.unavailability.limitMs)
    }; ${showMs(report.unavailability.rawWorstMs)} including excused periods)`,
    ...lines('lost',
      report.lost.map(({ key, level, epoch, sequence, why }) =>
        `${key} (${level}, epoch ${epoch}, sequence ${sequence}): ${why}`
      )),
    ...lines('excused',
      report.unavailability.excuses.map(({ fromMs, toMs, why }) =>
        `${showMs(toMs - fromMs)} at ${showAt(fromMs)}: ${why}`
      )),
    ...lines('salvages that could not be read', report.unreadableSalvages),
    '',
    reports(report),
    '',
    faults(report),
    '',
    promotions(report),
    '',
    `members: ${
      report.members.map(({ node, appliedSequence, digest }) =>
        `${node} at ${appliedSequence ?? '-'} (${digest.slice(0, 8)})`
      ).join(', ')
    }`,
    '',
    ...(report.ok
      ? ['All promises were kept.']
      : ['BROKEN PROMISES:', ...report.broken.map((text) => `  - ${text}`)]),
    `Repeat these faults with --seed ${report.seed}.`,
  ].join('\n')
}

function levels({ acknowledged }: ChaosReport): string {
  return table(['LEVEL', 'ACKNOWLEDGED', ...places.map((place) => place.toUpperCase())],
    Object.entries(acknowledged).map((
      [level, counts],
    ) => [level, showCount(counts.acknowledged),
      ...places.map((place) => showCount(counts[place]))]
    ))
}

/** Epochs that ended without a handover, and what became of their writes. */
function reports({ reports: all, asked }: ChaosReport): string {
  const rows = all.map((report) => {
    const { epoch, node, outcome, resent, merged, superseded, quarantined, lost, reason } = report
    return [
      String(epoch),
      node,
      outcome ?? 'open',
      ...[resent, merged, superseded, quarantined, lost].map((count) => showCount(count)),
      reason,
    ]
  })
  const heads = ['REPORT', 'NODE', 'OUTCOME', 'RESENT', 'MERGED', 'SUPERSEDED', 'QUARANTINED',
    'LOST', '']
  return [...(rows.length === 0 ? ['no fork reports'] : [table(heads, rows)]),
    `the cluster was asked for the fate of ${showCount(asked)} records`].join('\n')
}

function faults({ faults: done, skipped }: ChaosReport): string {
  const rows = faultKinds.flatMap((kind) => {
    const why = skipped.find(({ fault }) => fault === kind)?.why
    const own = done.filter((one) => one.kind === kind && one.refused === null)
    if (why !== undefined) return [[kind, 'skipped', why]]
    const whats = own.map(({ what }) => what).join('; ')
    return own.length > 0 ? [[kind, String(own.length), whats]] : []
  })
  const refused = done.filter((one) => one.refused !== null)
  return [table(['FAULT', 'TIMES', ''], rows),
    ...lines('not injected', refused.map(({ what, refused: why }) => `${what}: ${why}`))].join('\n')
}

function promotions({ promotions: all }: ChaosReport): string {
  if (all.length === 0) return 'no promotions'
  return table(['EPOCH', 'PRIMARY', 'AT', 'WITHOUT ANSWER', 'AFTER'],
    all.map(({ epoch, primary, atMs, gapMs, after }) => [
      String(epoch),
      primary,
      showAt(atMs),
      gapMs === null ? '-' : showMs(gapMs),
      after ?? '-',
    ]))
}

function showAt(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function lines(head: string, texts: readonly string[]): string[] {
  if (texts.length === 0) return []
  const more = texts.length > shownMax ? [`  … ${texts.length - shownMax} more`] : []
  return [`${head}:`, ...texts.slice(0, shownMax).map((text) => `  ${text}`), ...more]
}
