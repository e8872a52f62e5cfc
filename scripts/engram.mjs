#!/usr/bin/env node
import { existsSync } from 'node:fs'

const main = new URL('../dist/runtime/cli/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  console.error('engram is not built yet: run `node scripts/prepare.mjs` in the project first')
  process.exitCode = 1
}
