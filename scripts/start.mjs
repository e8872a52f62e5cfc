// `npm start -- FLAGS` is `engram up --playground FLAGS`; without --playground when the page can be
// reached from other machines. It runs in this very process: signals and the exit code need no
// forwarding, and Ctrl-C arrives once.
const flags = process.argv.slice(2)
const http = flags.flatMap((flag, n) =>
  flag === '--http' ? [flags[n + 1] ?? ''] : flag.startsWith('--http=') ? [flag.slice(7)] : []).at(-1)
const isLocal = http === undefined || /^(127(\.\d{1,3}){3}|localhost|\[::1\]):/.test(http)
process.argv.splice(2, 0, 'up', ...(isLocal ? ['--playground'] : []))
await import('./engram.mjs')
