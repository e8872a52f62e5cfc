import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** One piece of text to be replaced in one compiled file. */
export interface Edit {
  /** Below dist/, e.g. `actors/membership/lease.js`. */
  readonly file: string
  /** Occurs exactly once in that file. */
  readonly find: string
  readonly replace: string
}

/**
 * A single change that breaks a guard of the protocol. Where the guard stands in depth (the same
 * condition at two places) it has an edit for each of them, else nothing would be broken.
 */
export interface Mutant {
  /** Kebab case, unique: what the mutated code does wrong. */
  readonly name: string
  /** The purpose of the guard. */
  readonly why: string
  readonly edits: readonly Edit[]
  /**
   * Scenarios that catch it, in the order in which they are tried; `seeds:8`: so many seeds;
   * `test:runtime/client/keptWrites`: the tests of that file, where no scenario runs the code.
   */
  readonly scenarios: readonly string[]
  /** A part of the report: the mutant falls for the reason it should. */
  readonly evidence: RegExp
}

/** The text of a mutant does not fit the code any more: it would change nothing, or too much. */
export class MutantNotApplicableError extends Error {
  readonly code = 'MUTANT_NOT_APPLICABLE'

  constructor(mutant: string, { file, find }: Edit, found: number) {
    super(`mutant ${mutant}: in dist/${file} this text occurs ${found} times instead of once, `
      + `so the code has moved; adapt the mutant to it (and build first): ${find}`)
    this.name = 'MutantNotApplicableError'
  }
}

/** Folder of the compiled code, dist/. */
export const compiledRoot = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..')

/**
 * The mutated text of each file, by its URL. Throws MutantNotApplicableError, and ENOENT when a
 * file is not there.
 */
export function mutatedFiles(mutant: Mutant, root = compiledRoot): Map<string, string> {
  const texts = new Map<string, string>()
  for (const edit of mutant.edits) {
    const path = join(root, edit.file)
    const url = pathToFileURL(path).href
    const text = texts.get(url) ?? readFileSync(path, 'utf8')
    const found = text.split(edit.find).length - 1
    if (found !== 1) throw new MutantNotApplicableError(mutant.name, edit, found)
    // By a function: `$` in the replacement means nothing.
    texts.set(url, text.replace(edit.find, () => edit.replace))
  }
  return texts
}
