/**
 * Hooks of Node's module loader: gives the mutated text for the files that a mutant changes, and
 * everything else as it is (https://nodejs.org/docs/latest-v20.x/api/module.html#hooks).
 */
import type { LoadHook } from 'node:module'

let mutated: ReadonlyMap<string, string> = new Map()

/** `data`: [URL, text] of each file. */
export function initialize(data: readonly (readonly [string, string])[]): void {
  mutated = new Map(data)
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const source = mutated.get(url)
  if (source === undefined) return await nextLoad(url, context)
  return { format: 'module', shortCircuit: true, source }
}
