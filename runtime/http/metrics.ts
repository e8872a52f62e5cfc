/**
 * Prometheus metrics of a node: gauges read from its status at each scrape, and the counters and
 * distributions that the actors report through the Telemetry port. Base units: seconds, bytes.
 */
import { Gauge, Registry, collectDefaultMetrics } from 'prom-client'
import type { Telemetry } from '../../actors/ports/system.js'
import type { MemberStatus, NodeStatusReport } from '../status/status.js'
import { Slices } from '../system/slices.js'
import { promTelemetry } from './telemetry.js'

export interface Metrics {
  readonly registry: Registry
  readonly telemetry: Telemetry
  readonly contentType: string
  /** All metrics in the text format, read and put together in slices. Once at a time. */
  bytes(): Promise<Uint8Array>
  text(): Promise<string>
}

/** May be asynchronous: with thousands of spaces it is made in slices. */
export type StatusSource = () => NodeStatusReport | Promise<NodeStatusReport>

type Read<T> = (of: T) => number | null

/** Gauges of one space on one node: label `space`. */
const memberGauges: readonly (readonly [string, string, Read<MemberStatus>])[] = [
  ['engram_epoch', 'Highest epoch this member has seen.', (m) => m.epoch],
  ['engram_is_primary', '1 while this member is primary.', (m) => Number(m.role === 'primary')],
  ['engram_in_sync_members', 'Members in sync, the primary included.', (m) => m.inSync.length],
  ['engram_min_in_sync_members', 'With fewer in sync, committed writes are refused.',
    (m) => m.minInSync],
  ['engram_members', 'Members of the space (RF).', (m) => m.rf],
  ['engram_end_sequence', 'End of the log.', (m) => m.endSequence],
  ['engram_durable_sequence', 'Last entry that survives a crash of this member.',
    (m) => m.durableSequence],
  ['engram_applied_sequence', 'Applied to the store.', (m) => m.appliedSequence],
  ['engram_commit_sequence', 'Durable on all in-sync members.', (m) => m.commitSequence],
  ['engram_safe_sequence', 'Commit sequence while two or more were in sync.',
    (m) => m.safeSequence],
  ['engram_loss_window_entries', 'Entries above the safe sequence.', (m) => m.lossWindow.entries],
  ['engram_loss_window_bytes', 'Bytes above the safe sequence.', (m) => m.lossWindow.bytes],
  ['engram_loss_window_seconds', 'Age of the oldest entry above the safe sequence.',
    (m) => m.lossWindow.ms / 1000],
  ['engram_throttled', '1 while answers are delayed until the loss window has room (maxLoss).',
    (m) => Number(m.throttled)],
  ['engram_memory_nodes', 'Memory nodes in the store.', (m) => m.nodes],
  ['engram_memory_edges', 'Memory edges in the store.', (m) => m.edges],
  ['engram_salvages', 'Salvage files on this member.', (m) => m.salvages],
  ['engram_fork_reports_open', 'Ended epochs with unreplicated writes that are not all settled.',
    (m) => m.books?.open ?? 0],
  ['engram_quarantined_writes', 'Writes that lost against others, kept for an operator.',
    (m) => m.books?.quarantined ?? 0],
  ['engram_salvages_waiting', 'Salvages of all members that wait to be uploaded.',
    (m) => m.books?.salvagesWaiting ?? 0],
  ['engram_blocked', '1 while no member can be promoted.', (m) => Number(m.blocked !== null)],
  ['engram_paused', '1 while failover is paused by an operator.',
    (m) => Number((m.paused ?? null) !== null)],
  ['engram_member_change_seconds', 'Age of the change of members that is under way, at the primary;'
    + ' absent while there is none.',
    (m) => m.role === 'primary' ? inSeconds(m.change?.ageMs) : null],
  ['engram_damaged', '1 while the log of this member cannot be trusted.',
    (m) => Number(m.role === 'damaged')],
  ['engram_arbiter_reachable', '1 while the arbiter answers with the record of the space.',
    (m) => (m.arbiter === 'unknown'
      ? null
      : Number(m.arbiter === 'reachable' || m.arbiter === 'refuses'))],
  ['engram_arbiter_refuses', '1 while the arbiter stores no change of the record.',
    (m) => Number(m.arbiter === 'refuses')],
  ['engram_arbiter_lost', '1 while the arbiter has lost the record of the space.',
    (m) => Number(m.arbiter === 'lost')],
  ['engram_first_sequence', 'First entry that the journal of this member still has.',
    (m) => m.firstSequence ?? null],
  ['engram_checkpoint_sequence', 'Last entry in the newest checkpoint of this member.',
    (m) => m.checkpoint?.sequence ?? null],
  ['engram_checkpoint_age_seconds', 'Time since the newest checkpoint of this member was written.',
    (m) => inSeconds(m.checkpoint?.ageMs)],
  ['engram_checkpoint_bytes', 'Size of the newest checkpoint of this member.',
    (m) => m.checkpoint?.bytes ?? null],
  ['engram_checkpoints_kept',
    'Checkpoints of this member that count: two allow to give up entries.',
    (m) => m.checkpoint === undefined ? null : m.checkpoint?.kept ?? 0],
  ['engram_checkpoint_due_ratio', 'New journal of this member, as a share of what makes a '
    + 'checkpoint due.', (m) => m.checkpointDue ?? null],
  ['engram_rebuild_ratio',
    'Part of the store that is rebuilt after a start; absent when it is done.',
    (m) => m.rebuilding ? m.rebuilding.done / Math.max(1, m.rebuilding.total) : null],
  ['engram_journal_pinned_bytes', 'Journal that should be given up, and that this member keeps.',
    (m) => m.pins === undefined ? null : m.pins?.bytes ?? 0],
  ['engram_retained_for_readers',
    '1 while the oldest segment of the journal is kept for readers of '
    + 'the log (retain).',
    (m) => m.retain === undefined ? null : Number(m.retain?.keepsOldest ?? 0)],
  ['engram_retain_overruled', '1 while less is kept for readers of the log than retain says, since '
    + 'the disk is nearly full.',
    (m) => m.retain === undefined ? null : Number(m.retain?.isOverruled ?? 0)],
  ['engram_promotion_last_seconds', 'Last promotion: from the vacancy to the first write accepted.',
    (m) => inSeconds(m.lastPromotionMs)],
]

function inSeconds(ms: number | null | undefined): number | null {
  return typeof ms === 'number' ? ms / 1000 : null
}

/** Gauges of the node: no labels. */
const nodeGauges: readonly (readonly [string, string, Read<NodeStatusReport>])[] = [
  ['engram_node_incarnation', 'Raised at each start.', (r) => r.node.incarnation],
  ['engram_node_connection', 'NATS connections of this life.', (r) => r.node.connection],
  ['engram_node_connected', '1 while the node is on NATS.',
    (r) => Number(r.node.natsServer !== null)],
  ['engram_node_uptime_seconds', 'Time since this life began.', (r) => r.node.uptimeMs / 1000],
  ['engram_node_loop_delay_seconds', 'Delay of the event loop.', (r) => r.node.loopDelayMs / 1000],
  ['engram_node_drained', '1 while an operator keeps the node from being primary.',
    (r) => Number(r.node.drained ?? false)],
  ['engram_clock_offset_seconds', 'How far the clock is behind (positive) those of the peers.',
    (r) => (r.node.clock?.offsetMs == null ? null : r.node.clock.offsetMs / 1000)],
  ['engram_journal_bytes', 'Size of the journal.', (r) => r.node.journal?.bytes ?? null],
  ['engram_journal_segments', 'Segments of the journal.', (r) => r.node.journal?.segments ?? null],
  ['engram_journal_retained_bytes', 'Size of the closed segments of the journal.',
    (r) => r.node.journal?.retainedBytes ?? null],
  ['engram_disk_cap_bytes', 'What the data directory should not exceed.',
    (r) => r.node.diskUse?.capBytes ?? null],
  ['engram_disk_free_bytes', 'Free on the file system of the data directory.',
    (r) => r.node.diskUse?.freeBytes ?? null],
  ['engram_store_free_bytes', 'Of the store\'s file, free for its next writes.',
    (r) => r.node.diskUse?.storeFreeBytes ?? null],
  ['engram_journal_flush_number', 'Number of the last flush, over all lives of the node.',
    (r) => r.node.journal?.flush ?? null],
  ['engram_journal_read_only', '1 while the disk refuses writes.',
    (r) => r.node.journal ? Number(r.node.journal.readOnly) : null],
  ['engram_budget_bytes', 'Memory budget of buffers, caches and indexes (memoryBytes).',
    (r) => r.node.memory?.bytesMax ?? null],
]

/** Labels `use` of engram_disk_bytes. */
const diskUses = [
  ['journal', 'journalBytes'],
  ['checkpoints', 'checkpointBytes'],
  ['store', 'storeBytes'],
  ['salvages', 'salvageBytes'],
] as const

export interface MetricsOptions {
  /** Process metrics of prom-client too (memory, event loop, GC). Default true. */
  readonly processMetrics?: boolean
  readonly registry?: Registry
}

/** Statistics of a histogram that the package fills from a timer of its own. */
const loopStatistics = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']

/**
 * Memory, CPU, GC and handles of the process, and the event loop's delay at the scrape. The
 * package's histogram of that delay is left out, since its timer wakes an idle process 100 times a
 * second. `engram_node_loop_delay_seconds` is measured at every heartbeat.
 */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: loopMonitoringMs })
  for (const name of loopStatistics) {
    registry.removeSingleMetric(`nodejs_eventloop_lag_${name}_seconds`)
  }
}

/** The timer cannot be switched off. */
const loopMonitoringMs = 60_000

/** Series of a metric that are formatted at a time. */
const seriesPerPiece = 500

/** @param status evaluated at each scrape */
export function createMetrics(status: StatusSource, options: MetricsOptions = {}): Metrics {
  const registry = options.registry ?? new Registry()
  if (options.processMetrics ?? true) collectProcessMetrics(registry)
  const refresh = statusGauges(registry)
  const { telemetry, showSpaces } = promTelemetry(registry)
  const bytes = async (): Promise<Uint8Array> => {
    const report = await status()
    const slices = new Slices()
    await refresh(report, slices)
    await showSpaces(report.spaces.map(({ space }) => space), slices)
    return await textOf(registry, slices)
  }
  return {
    registry,
    telemetry,
    contentType: registry.contentType,
    bytes,
    text: async () => Buffer.from(await bytes()).toString('utf8'),
  }
}

/** The same as `registry.metrics()`, in slices. */
async function textOf(registry: Registry, slices: Slices): Promise<Uint8Array> {
  const shower = registry as unknown as Shower
  const pieces: Buffer[] = []
  for (const metric of registry.getMetricsAsArray() as unknown as Shown[]) {
    const { values, ...said } = await (metric.getForPromString?.() ?? metric.get())
    for (let from = 0; from === 0 || from < values.length; from += seriesPerPiece) {
      const some = { ...said, values: values.slice(from, from + seriesPerPiece) }
      const piece = await shower.getMetricsAsString({ get: () => Promise.resolve(some) })
      // Help and type are written before the first series only.
      const lines = from === 0 ? piece : piece.split('\n').slice(2).join('\n')
      pieces.push(Buffer.from(`${from === 0 && pieces.length > 0 ? '\n' : ''}${lines}\n`))
      if (slices.isOver) await slices.next()
    }
  }
  return Buffer.concat(pieces)
}

/** A method that exists but is missing from the types (the version is pinned). */
interface Shower {
  getMetricsAsString(metric: Shown): Promise<string>
}
interface Shown {
  get(): Promise<{ readonly values: readonly unknown[] }>
  getForPromString?(): Promise<{ readonly values: readonly unknown[] }>
}

function statusGauges(
  registry: Registry,
): (report: NodeStatusReport, slices: Slices) => Promise<void> {
  const gauge = (name: string, help: string, labelNames: string[]): Gauge =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const ofNode = nodeGauges.map(([name, help, read]) => ({ gauge: gauge(name, help, []), read }))
  const ofMember = memberGauges.map(
    ([name, help, read]) => ({ gauge: gauge(name, help, ['space']), read }),
  )
  const labelled = labelledGauges(gauge)
  const silence = gauge('engram_peer_silence_seconds', 'Time since the last heartbeat of a peer.', [
    'peer',
  ])
  const alive = gauge('engram_peer_alive', '1 while heartbeats of a peer arrive.', ['peer'])
  const left = gauge('engram_peer_left', '1 while a peer is away that was stopped, and said so.', [
    'peer',
  ])
  const memory = gauge('engram_budget_used_bytes', 'Memory of buffers, caches and indexes, by use.',
    ['use'])
  const disk = gauge('engram_disk_bytes', 'Size of the data directory, by use.', ['use'])
  const info = gauge('engram_node_info', 'Always 1: the labels identify the node.', ['node',
    'version', 'state'])
  const all = [
    info,
    alive,
    left,
    memory,
    disk,
    ...ofMember.map((entry) => entry.gauge),
    ...labelled.gauges,
    silence,
  ]
  return async (report, slices) => {
    // Spaces and replicas that are gone must not be shown with their last values.
    for (const one of all) one.reset()
    for (const { gauge, read } of ofNode) gauge.set(read(report) ?? Number.NaN)
    const { id: node, version, state } = report.node
    info.set({ node, version, state }, 1)
    for (const [peer, seen] of Object.entries(report.node.peers)) {
      alive.set({ peer }, Number(seen.state === 'alive'))
      left.set({ peer }, Number(seen.state === 'left'))
      if (seen.silenceMs !== null) silence.set({ peer }, seen.silenceMs / 1000)
    }
    for (const [use, bytes] of Object.entries(report.node.memory?.used ?? {})) {
      memory.set({ use }, bytes)
    }
    if (report.node.diskUse) {
      for (const [use, field] of diskUses) disk.set({ use }, report.node.diskUse[field])
    }
    for (const member of report.spaces) {
      const { space } = member
      for (const { gauge, read } of ofMember) {
        const value = read(member)
        if (value !== null) gauge.set({ space }, value)
      }
      labelled.show(member)
      if (slices.isOver) await slices.next()
    }
  }
}

/** Gauges of a member with a label beside `space`. */
function labelledGauges(gauge: (name: string, help: string, labelNames: string[]) => Gauge) {
  const lagBytes = gauge('engram_replication_lag_bytes',
    'Bytes of log that the replica lacks, as its primary sees it.', ['space', 'replica'])
  const lagSeconds = gauge('engram_replication_lag_seconds',
    'Age of the oldest entry that the replica lacks, as its primary sees it.', ['space', 'replica'])
  const installBytes = gauge('engram_install_bytes',
    'State that this member is installed with: what is here, and all; absent while there is none.',
    ['space', 'what'])
  const show = ({ space, lag: lags, install }: MemberStatus): void => {
    for (const [replica, lag] of Object.entries(lags)) {
      // A replica that is away has no series, rather than one with 0.
      if (lag.lagBytes !== null) lagBytes.set({ space, replica }, lag.lagBytes)
      if (lag.lagMs !== null) lagSeconds.set({ space, replica }, lag.lagMs / 1000)
    }
    if (!install || install.totalBytes === 0) return
    installBytes.set({ space, what: 'done' }, install.doneBytes)
    installBytes.set({ space, what: 'total' }, install.totalBytes)
  }
  return { gauges: [lagBytes, lagSeconds, installBytes], show }
}
