// Runs before `npm test`, `npm run bench` and others: see preparation.mjs. `--page`: also
// prepares for the tests of the page; `--no-nats`: nothing runs that needs a NATS server.
// (`npm start` prepares by itself, so that it sees its flags.)
import { prepare } from './preparation.mjs'

const { CHROMIUM, ENGRAM_NO_BROWSER, npm_lifecycle_event: event } = process.env
// A Chromium named in CHROMIUM is not installed. The tests check whether it exists.
const isChromiumNeeded = process.argv.includes('--page') && !CHROMIUM && ENGRAM_NO_BROWSER !== '1'
const isNatsNeeded = !process.argv.includes('--no-nats')
const command = event?.startsWith('pre') ? event.slice('pre'.length) : null
await prepare({
  packages: [...(isNatsNeeded ? ['nats-server'] : []), ...(isChromiumNeeded ? ['chromium'] : [])],
  isYes: process.argv.includes('--yes'),
  again: command === null
    ? 'node scripts/prepare.mjs'
    : command === 'test'
    ? 'npm test'
    : `npm run ${command}`,
})
