/**
 * Loaded before a test file when tests are picked by name (`--test` of test/run.ts): an
 * import of uvu gets pickedSuite.ts instead, which skips the others.
 */
import { register } from 'node:module'

const picked = JSON.stringify(new URL('pickedSuite.js', import.meta.url).href)
register(`data:text/javascript,${
  encodeURIComponent(`
  export const resolve = (name, context, next) =>
    name === 'uvu' && context.parentURL !== ${picked}
      ? { url: ${picked}, shortCircuit: true } : next(name, context)
`)
}`)
