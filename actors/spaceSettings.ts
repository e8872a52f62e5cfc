import type { MaxLoss, SpaceSettings } from '../machines/protocol.js'

const levels = ['memory', 'durable', 'committed'] as const
const modes = ['accept', 'wait', 'refuse'] as const
const maxLossKeys = ['entries', 'bytes', 'ms'] as const

/**
 * The settings of a space as an order asks for them, defaults filled in.
 * @returns the settings, or in words what is wrong with them
 */
export function spaceSettingsOf(order: Readonly<Record<string, unknown>>): SpaceSettings | string {
  const { replicas = 2, ack = 'durable', maxLoss, whenUnderReplicated } = order
  if (!isWhole(replicas, 0, 15)) return 'replicas is a whole number from 0 to 15'
  const rf = replicas + 1
  const { minInSync = Math.min(2, rf) } = order
  if (!isWhole(minInSync, 1, rf)) return `minInSync is a whole number from 1 to ${rf}`
  if (!isOneOf(levels, ack)) return `ack is one of ${levels.join(', ')}`
  if (whenUnderReplicated !== undefined && !isOneOf(modes, whenUnderReplicated)) {
    return `whenUnderReplicated is one of ${modes.join(', ')}`
  }
  const bound = maxLoss === undefined ? undefined : maxLossOf(maxLoss)
  if (typeof bound === 'string') return bound
  return {
    replicas, ack, minInSync,
    ...(bound && { maxLoss: bound }),
    ...(whenUnderReplicated && { whenUnderReplicated }),
  }
}

/** In words, for people. */
export function showSettings(settings: SpaceSettings): string {
  const { replicas, ack, minInSync, maxLoss, whenUnderReplicated } = settings
  const bounds = Object.entries(maxLoss ?? {}).map(([key, value]) => `${value} ${key}`)
  return `replicas ${replicas}, ack ${ack}, minInSync ${minInSync}`
    + (bounds.length > 0 ? `, maxLoss ${bounds.join(' and ')}` : '')
    + (whenUnderReplicated ? `, whenUnderReplicated ${whenUnderReplicated}` : '')
}

function maxLossOf(value: unknown): MaxLoss | string {
  const fault = 'maxLoss has one or more of entries, bytes and ms, whole numbers from 1'
  if (typeof value !== 'object' || value === null) return fault
  const bounds = Object.entries(value)
  const isValid = bounds.length > 0 && bounds.every(([key, bound]) =>
    isOneOf(maxLossKeys, key) && isWhole(bound, 1, Number.MAX_SAFE_INTEGER))
  // In one order of the keys, whatever the order's.
  return isValid
    ? Object.fromEntries(bounds.toSorted(([a], [b]) => (a < b ? -1 : 1))) : fault
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

function isOneOf<T extends string>(values: readonly T[], value: unknown): value is T {
  return values.includes(value as T)
}
