/**
 * uvu, but tests are skipped whose name does not contain ENGRAM_TEST_PICKED, or does not match
 * ENGRAM_TEST_PATTERN.
 */
import * as uvu from 'uvu'

const picked = process.env['ENGRAM_TEST_PICKED'] ?? ''
const pattern = new RegExp(process.env['ENGRAM_TEST_PATTERN'] ?? '')
const isPicked = (name: string): boolean => name.includes(picked) && pattern.test(name)

function picking<T>(tests: uvu.Test<T>): uvu.Test<T> {
  const choose = (name: string, run: uvu.Callback<T>): void =>
    isPicked(name) ? tests(name, run) : tests.skip(name, run)
  return Object.assign(choose, tests)
}

export const { exec } = uvu
export const test = picking(uvu.test)
export const suite: typeof uvu.suite = (name, context) => picking(uvu.suite(name, context))
