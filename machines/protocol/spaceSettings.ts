import type { KeyRetention } from '../graph/graph.js'
import type { ReaderRetention } from '../log/retention.js'
import type { MaxLoss, SpaceSettings } from './messages.js'

const levels = ['memory', 'durable', 'committed'] as const
const modes = ['accept', 'wait', 'refuse'] as const
const reconciling = ['automatic', 'manual', 'off'] as const
const maxLossKeys = ['entries', 'bytes', 'ms'] as const
const retentionKeys = ['ms', 'count'] as const
const readerKeys = ['bytes', 'ms'] as const

/**
 * Reads the settings of a space from an operator's command, and fills in the defaults.
 * @returns the settings, or what is wrong with them
 */
export function spaceSettingsOf(
  command: Readonly<Record<string, unknown>>,
): SpaceSettings | string {
  const {
    replicas = 2,
    ack = 'durable',
    maxLoss,
    whenUnderReplicated,
    reconcile,
    keys,
    retain,
  } = command
  if (!isWhole(replicas, 0, 15)) return 'replicas must be a whole number from 0 to 15'
  const rf = replicas + 1
  const { minInSync = Math.min(2, rf) } = command
  if (!isWhole(minInSync, 1, rf)) return `minInSync must be a whole number from 1 to ${rf}`
  if (!isOneOf(levels, ack)) return `ack must be one of ${levels.join(', ')}`
  if (whenUnderReplicated !== undefined && !isOneOf(modes, whenUnderReplicated)) {
    return `whenUnderReplicated must be one of ${modes.join(', ')}`
  }
  if (reconcile !== undefined && !isOneOf(reconciling, reconcile)) {
    return `reconcile must be one of ${reconciling.join(', ')}`
  }
  const bound = boundsOf<MaxLoss>('maxLoss', maxLossKeys, maxLoss)
  if (typeof bound === 'string') return bound
  const retention = boundsOf<Partial<KeyRetention>>('keys', retentionKeys, keys)
  if (typeof retention === 'string') return retention
  const readers = boundsOf<ReaderRetention>('retain', readerKeys, retain)
  if (typeof readers === 'string') return readers
  return {
    replicas,
    ack,
    minInSync,
    ...(bound && { maxLoss: bound }),
    ...(whenUnderReplicated && { whenUnderReplicated }),
    ...(reconcile && { reconcile }),
    ...(retention && { keys: retention }),
    ...(readers && { retain: readers }),
  }
}

/** Whether two are equal, whatever the order of their keys, which differs between records. */
export function isSameSettings(a: SpaceSettings, b: SpaceSettings): boolean {
  const [one, other] = [a, b].map((settings) => JSON.stringify(spaceSettingsOf({ ...settings })))
  return one === other
}

/** Returns text for operators. */
export function showSettings(settings: SpaceSettings): string {
  const { replicas, ack, minInSync, maxLoss, whenUnderReplicated } = settings
  const { reconcile, keys, retain } = settings
  return `replicas ${replicas}, ack ${ack}, minInSync ${minInSync}`
    + (maxLoss ? `, maxLoss ${showBounds(maxLoss)}` : '')
    + (whenUnderReplicated ? `, whenUnderReplicated ${whenUnderReplicated}` : '')
    + (reconcile ? `, reconcile ${reconcile}` : '')
    + (keys ? `, keys kept for ${showBounds(keys)}` : '')
    + (retain ? `, entries kept for readers: ${showBounds(retain)}` : '')
}

function showBounds(bounds: object): string {
  return Object.entries(bounds).map(([key, value]) => `${value} ${key}`).join(' and ')
}

/** Reads an object of some of the keys, each with a whole number; undefined stays undefined. */
function boundsOf<T extends object>(
  name: string,
  keys: readonly string[],
  value: unknown,
): T | undefined | string {
  if (value === undefined) return undefined
  const fault = `${name} must have one or more of ${keys.join(', ')}, whole numbers from 1`
  if (typeof value !== 'object' || value === null) return fault
  const bounds = Object.entries(value)
  const isValid = bounds.length > 0
    && bounds.every(([key, bound]) =>
      keys.includes(key) && isWhole(bound, 1, Number.MAX_SAFE_INTEGER)
    )
  // The keys are sorted, whatever their order in the command.
  return isValid
    ? Object.fromEntries(bounds.toSorted(([a], [b]) => (a < b ? -1 : 1))) as T
    : fault
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

function isOneOf<T extends string>(values: readonly T[], value: unknown): value is T {
  return values.includes(value as T)
}
