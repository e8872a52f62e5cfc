import type { StateValue } from 'xstate'

/** Returns the state, with the one below it if there is just one: `serving`, `surveying.asking`. */
export function stateName(value: StateValue): string {
  if (typeof value === 'string') return value
  const regions = Object.entries(value)
  const [name, nested] = regions[0] ?? ['', undefined]
  return regions.length === 1 && typeof nested === 'string' ? `${name}.${nested}` : name
}

/** Returns the outermost state alone. */
export function topState(value: StateValue): string {
  return typeof value === 'string' ? value : Object.keys(value)[0] ?? ''
}
