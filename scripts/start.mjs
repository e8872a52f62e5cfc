// `npm start -- FLAGS` installs what is missing, and then runs `engram up --playground FLAGS`, or
// without --playground if other machines can reach the page. With `--yes` the preparation does not
// ask before it installs a package of the system. Everything runs in this process, so that signals
// and the exit code need no forwarding, and Ctrl-C arrives once.
import { prepare } from './preparation.mjs'

const flags = process.argv.slice(2).filter((flag) => flag !== '--yes')
const has = (...names) => flags.some((flag) => names.includes(flag.split('=')[0]))
await prepare({
  packages: has('--nats', '--help', '-h') ? [] : ['nats-server'],
  isYes: process.argv.includes('--yes'),
  again: 'npm start',
})

const http = flags.flatMap((flag, n) => {
  if (flag === '--http') return [flags[n + 1] ?? '']
  return flag.startsWith('--http=') ? [flag.slice('--http='.length)] : []
}).at(-1)
const isLocal = http === undefined || /^(127(\.\d{1,3}){3}|localhost|\[::1\]):/.test(http)
process.argv.splice(2, Infinity, 'up', ...(isLocal ? ['--playground'] : []), ...flags)
await import('./engram.mjs')
