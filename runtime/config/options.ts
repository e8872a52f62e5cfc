/**
 * Every option of a node, with its meaning, unit, default and bounds, and the relations that must
 * hold between them. Precedence: defaults < config file < environment < flags.
 */
import { getHeapStatistics } from 'node:v8'
import { z } from 'zod'
import { defaultSettings as own } from '../../actors/ports/defaultSettings.js'
import type { ProtocolTimes } from '../../machines/protocol/defaultTimes.js'
import { autoBalances } from '../../machines/protocol/rebalance.js'
import type { AutoBalanceMode } from '../../machines/protocol/rebalance.js'

export type Unit = 'ms' | 'bytes' | 'factor' | 'count'

interface OptionInfo {
  readonly doc: string
  readonly unit: Unit
  readonly default: number
  readonly min: number
  readonly max: number
}

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const hour = 3_600_000

const ms = (doc: string, value: number, min: number, max: number): OptionInfo => ({ doc, unit: 'ms',
  default: value, min, max })
const bytes = (doc: string, value: number, min: number, max: number): OptionInfo => ({ doc,
  unit: 'bytes', default: value, min, max })

/** Half of the memory limit of the process: the lower of its heap limit and its cgroup limit. */
const defaultMemoryBytes = Math.floor(Math.min(
  getHeapStatistics().heap_size_limit,
  process.constrainedMemory() || Infinity,
) / 2)

/** The options by name, as `engram node --help-config` prints them. */
export const options = {
  heartbeatMs: ms('Interval between heartbeats.', own.heartbeatMs, 10, 10_000),
  probeMs: ms('Interval and timeout of the probes of a suspected node.', own.probeMs, 5, 10_000),
  grantMs: ms('Duration of the lease that a heartbeat grants its receiver.', own.grantMs, 100,
    600_000),
  grantMargin: {
    doc: 'The granter waits grantMs x this before it takes over. Allows for clock rates '
      + 'that differ by up to 10 %.',
    unit: 'factor',
    default: own.grantMargin,
    min: 1.1,
    max: 3,
  },
  surveyMs: ms('How long a candidate waits for the other members to report their positions.',
    own.surveyMs, 10, 10_000),
  standByMs: ms('How long a candidate waits for a better-placed one to be promoted.', own.standByMs,
    10, 60_000),
  inSyncLagMs: ms('A replica that is further behind is removed from the in-sync set.',
    own.inSyncLagMs, 100, 600_000),
  stallMs: ms('After a longer stall of its event loop a node declares no other node dead (tilt).',
    own.stallMs, 50, 60_000),
  casTimeoutMs: ms('Timeout of one request to the arbiter.', own.casTimeoutMs, 50, 60_000),
  arbiterReplicas: {
    doc: 'Copies of the arbiter bucket in JetStream. Use 3 on a NATS cluster.',
    unit: 'count',
    default: 1,
    min: 1,
    max: 5,
  },
  flushBytes: bytes('A batch of this size is flushed at once.', own.flushBytesMax, 4 * KiB,
    64 * MiB),
  frameBytesMax: bytes('Size limit of a frame, on disk and on the wire. A request is never split '
    + 'over two frames.', own.frameBytesMax, 512 * KiB, 1000 * KiB),
  streamWindowBytes: bytes('Limit of the bytes in flight to one replica. Beyond it, the stream is '
    + 'read from the journal.', own.windowBytes, 64 * KiB, 1 * GiB),
  unflushedBytesMax: bytes('Limit of accepted writes that are not yet flushed to disk. Beyond it, '
    + 'writes get OVERLOADED.', own.unflushedBytesMax, 1 * MiB, 8 * GiB),
  overlayBytesMax: bytes('Limit of durable writes that are not yet applied to the store. Beyond '
    + 'it, writes get OVERLOADED.', own.overlayBytesMax, 1 * MiB, 16 * GiB),
  lagAlertBytes: bytes('Raise an alert when a replica is further behind.', own.lagAlertBytes,
    1 * KiB, 1e12),
  lagAlertMs: ms('Raise an alert when a replica is further behind.', own.lagAlertMs, 50, 24 * hour),
  ackTimeoutMs: ms('A write that has not reached its ack level in this time gets ACK_TIMEOUT.',
    own.ackTimeoutMs, 50, 600_000),
  readWaitMs: ms('How long a replica waits to reach Engram-Min-Sequence before it refuses a read.',
    own.readWaitMs, 0, 60_000),
  readQueueBytes: bytes('Limit of the reads that wait at this node; each counts its payload and '
    + '512 bytes. Beyond it, reads get OVERLOADED.', own.readQueueBytes, 64 * KiB, 1 * GiB),
  readQueueMs: ms('A read that has waited longer for its turn gets OVERLOADED.', own.readQueueMs,
    100, 60_000),
  handoverHoldBytes: bytes('Limit of the writes held during a handover. Beyond it, writes get '
    + 'SHUTTING_DOWN.', own.heldBytesMax, 64 * KiB, 1 * GiB),
  memoryBytes: bytes('Memory budget of buffers, caches and indexes. Beyond three quarters of it, '
    + 'writes get OVERLOADED. The default is half of what the process may use.',
    Math.max(defaultMemoryBytes, 64 * MiB), 64 * MiB, 2 ** 44),
  segmentBytes: bytes('Size of a journal segment.', 64 * MiB, 64 * KiB, 1 * GiB),
  checkpointBytes: bytes('A checkpoint of a space is taken when its journal has grown by this, and '
    + 'by checkpointRatio times its last checkpoint.', own.checkpointBytes, 16 * KiB, 1e12),
  checkpointRatio: {
    doc: 'Journal bytes per byte of checkpoint: higher writes less, and keeps more journal.',
    unit: 'count',
    default: own.checkpointRatio,
    min: 1,
    max: 100,
  },
  retainBytes: bytes('Closed segments of the journal that are kept for members and readers that '
    + 'are behind. Beyond it the oldest goes, once two checkpoints have what is in it.',
    own.retainBytes, 128 * KiB, 1e15),
  replaceAfterMs: ms('A member that is gone for so long is replaced by a spare node; 0: never.',
    own.replaceAfterMs, 0, 365 * 24 * hour),
  balanceAfterMs: ms(
    'A node has to be well for so long before primaries or members are moved to it '
      + '(autoBalance).',
    own.balanceAfterMs,
    100,
    24 * hour,
  ),
  removedKeepMs: ms(
    'How long data of a space is kept after this node was taken out of its members.',
    own.removedKeepMs,
    0,
    365 * 24 * hour,
  ),
  installBytesPerSecond: bytes(
    'Rate at which this node sends checkpoints to members that have to be '
      + 'installed. 0: up to 32 MiB/s, and less while it is busy.',
    own.installBytesPerSecond,
    0,
    1e12,
  ),
  stopMs: ms('Time limit of a clean stop.', 10_000, 100, 600_000),
} satisfies Record<string, OptionInfo>

export type OptionName = keyof typeof options

/** Options that are not numbers: set in the config file only, not by a variable or `--set`. */
export const fileOptions = {
  merge: {
    doc: 'Merge rule per space: {"space": "./rule.mjs"}, an ES module with a path relative to the '
      + 'config file. Its default export is a pure function (standing, incoming) that decides '
      + 'between concurrent writes of one thing. Only the primary calls it, but any member may '
      + 'become primary: use the same module on all nodes of a space.',
    unit: 'modules',
  },
} as const

/**
 * Options that are lists of words: `--reply-prefixes a,b`, a comma-separated variable, or an
 * array in the config file.
 */
export const listOptions = {
  replyPrefixes: {
    doc: 'Clients are answered only on subjects below these prefixes, since an answer is published '
      + 'with the permissions of the node. Add the inbox prefixes of your clients.',
    unit: 'subjects',
    default: ['_INBOX'],
  },
} as const

/** Options that are one of a few words. */
export const wordOptions = {
  autoBalance: {
    doc: 'What primaries move by themselves: nothing (off), themselves to the preferred member '
      + '(primaries), or members as engram rebalance does, too (all).',
    unit: 'word',
    default: own.autoBalance,
    words: autoBalances,
  },
} as const

/** All options, checked as a whole. Times in ms, sizes in bytes. */
export type Config = ProtocolTimes & Readonly<Record<OptionName, number>> & {
  readonly autoBalance: AutoBalanceMode
}

/** A fault of one option: the value that was given, and the rule that it breaks. */
export interface ConfigFault {
  readonly field: string
  readonly value: unknown
  readonly rule: string
}

/** A configuration that a node must not start with. The message names field, value and rule. */
export class ConfigError extends Error {
  readonly code = 'CONFIG'
  readonly retryable = false
  constructor(readonly faults: readonly ConfigFault[], readonly source = 'configuration') {
    super(faults.map((fault) => `${fault.field} = ${show(fault.value)}: ${fault.rule}`).join('\n'))
    this.name = 'ConfigError'
  }
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

const shape = Object.fromEntries(Object.entries(options).map(([name, info]) => [
  name,
  numberOf(info).default(info.default).meta({ description: info.doc, unit: info.unit }),
])) as Record<OptionName, z.ZodDefault<z.ZodNumber>>

function numberOf(info: OptionInfo): z.ZodNumber {
  const { min, max } = info
  const rule = `from ${min} to ${max}${info.unit === 'factor' ? '' : `, whole, in ${info.unit}`}`
  const base = z.number({ error: `must be a number ${rule}` })
  const whole = info.unit === 'factor' ? base : base.int({ error: `must be a number ${rule}` })
  return whole.min(min, { error: `must be ${rule}` }).max(max, { error: `must be ${rule}` })
}

const { autoBalance: { default: mode, words, doc, unit } } = wordOptions
export const configSchema = z.strictObject({
  ...shape,
  autoBalance: z.enum(words, { error: `must be one of ${words.join(', ')}` }).default(mode)
    .meta({ description: doc, unit }),
})

interface Relation {
  readonly field: OptionName
  readonly rule: string
  readonly holds: (c: Config) => boolean
}

/** A frame goes into one NATS message, with a header and the subject before it. */
export const wireOverheadBytes = 4 * KiB

/** Each rule names the option that an operator would change first. */
export const relations: readonly Relation[] = [
  {
    field: 'grantMs',
    rule: 'must be at least 10 x heartbeatMs',
    holds: (c) => c.grantMs >= 10 * c.heartbeatMs,
  },
  {
    field: 'probeMs',
    rule: 'must not exceed heartbeatMs',
    holds: (c) => c.probeMs <= c.heartbeatMs,
  },
  {
    field: 'surveyMs',
    rule: 'must be less than grantMs',
    holds: (c) => c.surveyMs < c.grantMs,
  },
  {
    field: 'standByMs',
    rule: 'must be at least surveyMs: a better candidate surveys first',
    holds: (c) => c.standByMs >= c.surveyMs,
  },
  {
    field: 'stallMs',
    rule: 'must exceed 3 x heartbeatMs: less than that suspects nobody',
    holds: (c) => c.stallMs > 3 * c.heartbeatMs,
  },
  {
    field: 'stallMs',
    rule: 'must be less than grantMs',
    holds: (c) => c.stallMs < c.grantMs,
  },
  {
    field: 'inSyncLagMs',
    rule: 'must exceed grantMs / 2: that much silence ends a place in sync',
    holds: (c) => c.inSyncLagMs > c.grantMs / 2,
  },
  {
    field: 'streamWindowBytes',
    rule: 'must be at least 2 x frameBytesMax',
    holds: (c) => c.streamWindowBytes >= 2 * c.frameBytesMax,
  },
  {
    field: 'segmentBytes',
    rule: 'must be at least frameBytesMax + 4096: a frame is never split',
    holds: (c) => c.segmentBytes >= c.frameBytesMax + wireOverheadBytes,
  },
  {
    field: 'checkpointBytes',
    rule: 'must be at least segmentBytes / 4',
    holds: (c) => c.checkpointBytes >= c.segmentBytes / 4,
  },
  {
    field: 'retainBytes',
    rule: 'must be at least 2 x segmentBytes',
    holds: (c) => c.retainBytes >= 2 * c.segmentBytes,
  },
  {
    field: 'unflushedBytesMax',
    rule: 'must be at least 2 x flushBytes',
    holds: (c) => c.unflushedBytesMax >= 2 * c.flushBytes,
  },
  {
    field: 'overlayBytesMax',
    rule: 'must be at least unflushedBytesMax',
    holds: (c) => c.overlayBytesMax >= c.unflushedBytesMax,
  },
]

/**
 * Checks every option and every relation between them.
 * @throws ConfigError naming all faults found, the first of each kind first
 */
export function checkConfig(given: Readonly<Record<string, unknown>>, source?: string): Config {
  const parsed = configSchema.safeParse(given)
  if (!parsed.success) throw new ConfigError(faultsOf(parsed.error, given), source)
  const config = parsed.data as Config
  const broken = relations.filter((relation) => !relation.holds(config))
  if (broken.length === 0) return Object.freeze(config)
  throw new ConfigError(broken.map(({ field, rule }) => ({
    field,
    value: config[field],
    rule: `${rule} (${operands(field, rule, config)})`,
  })), source)
}

/** The values that a broken relation refers to: "heartbeatMs = 500". */
function operands(field: OptionName, rule: string, config: Config): string {
  const named = (Object.keys(options) as OptionName[])
    .filter((name) => name !== field && new RegExp(`\\b${name}\\b`).test(rule))
  return named.map((name) => `${name} = ${config[name]}`).join(', ')
}

function faultsOf(error: z.ZodError, given: Readonly<Record<string, unknown>>): ConfigFault[] {
  return error.issues.flatMap((issue): ConfigFault[] => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ field: key, value: given[key], rule: unknownRule(key) }))
    }
    const field = String(issue.path[0] ?? '')
    return [{ field, value: given[field], rule: issue.message }]
  })
}

function unknownRule(key: string): string {
  if (Object.hasOwn(listOptions, key)) return 'is a list, and has a flag of its own'
  if (Object.hasOwn(fileOptions, key)) return 'belongs in the config file (--config FILE)'
  const near = nearest(key, Object.keys({ ...options, ...wordOptions, ...fileOptions }))
  return near ? `is no option; did you mean ${near}?` : 'is no option'
}

/** Returns the candidate that is a typing error away, if there is one. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const scored = candidates.map((candidate) => ({
    candidate,
    distance: editDistance(word.toLowerCase(), candidate.toLowerCase()),
  })).toSorted((a, b) => a.distance - b.distance)
  const best = scored[0]
  return best && best.distance <= Math.max(2, word.length / 4) ? best.candidate : undefined
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/**
 * Checks the sizes against the limit of the NATS server, at each connection.
 * @throws ConfigError
 */
export function checkAgainstServer(config: Config, maxPayload: number): void {
  if (config.frameBytesMax + wireOverheadBytes <= maxPayload) return
  throw new ConfigError([{
    field: 'frameBytesMax',
    value: config.frameBytesMax,
    rule: `must be at most max_payload - ${wireOverheadBytes} of the NATS server `
      + `(max_payload = ${maxPayload}); lower it, or raise max_payload in nats.conf`,
  }])
}

export const defaultConfig: Config = checkConfig({})
