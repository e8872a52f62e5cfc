// `npm start -- FLAGS` is `engram up FLAGS`. It runs in this very process: signals and the exit
// code need no forwarding, and Ctrl-C arrives once.
process.argv.splice(2, 0, 'up')
await import('./engram.mjs')
