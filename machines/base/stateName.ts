import type { StateValue } from 'xstate'

/** `serving`, `surveying.asking`: the state, and the one below it where there is just one. */
export function stateName(value: StateValue): string {
  if (typeof value === 'string') return value
  const regions = Object.entries(value)
  const [name, nested] = regions[0] ?? ['', undefined]
  return regions.length === 1 && typeof nested === 'string' ? `${name}.${nested}` : name
}

/** The outermost state alone. */
export function topState(value: StateValue): string {
  return typeof value === 'string' ? value : Object.keys(value)[0] ?? ''
}
