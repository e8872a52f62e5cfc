/** uvu, but tests whose name does not contain ENGRAM_TEST_PICKED are skipped. */
import * as uvu from 'uvu'

const picked = process.env['ENGRAM_TEST_PICKED'] ?? ''

function picking<T>(tests: uvu.Test<T>): uvu.Test<T> {
  const choose = (name: string, run: uvu.Callback<T>): void =>
    name.includes(picked) ? tests(name, run) : tests.skip(name, run)
  return Object.assign(choose, tests)
}

export const { exec } = uvu
export const test = picking(uvu.test)
export const suite: typeof uvu.suite = (name, context) => picking(uvu.suite(name, context))
