// `npm run format` formats all code; with --check it changes nothing, names the files that are not
// formatted, and fails. The settings are in dprint.json, where editors find them, too.
import { createFromBuffer } from '@dprint/formatter'
import typescript from '@dprint/typescript'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const isCheck = process.argv.includes('--check')

/** Tracked files, and new ones that are not ignored. */
function files() {
  const names = execFileSync('git', [
    'ls-files',
    '-z',
    '--cached',
    '--others',
    '--exclude-standard',
    '--',
    '*.ts',
    '*.tsx',
    '*.mjs',
  ], { cwd: root, encoding: 'utf8' })
  return names.split('\0').filter((name) => name !== '' && existsSync(join(root, name)))
}

function formatter() {
  const { typescript: settings, plugins: _, ...common } = JSON.parse(
    readFileSync(join(root, 'dprint.json'), 'utf8'),
  )
  const made = createFromBuffer(readFileSync(typescript.getPath()))
  made.setConfig(common, settings)
  for (const { propertyName, message } of made.getConfigDiagnostics()) {
    throw new Error(`dprint.json: ${propertyName}: ${message}`)
  }
  return made
}

/** Some code takes its final shape in the second pass. */
function formatted(filePath, fileText) {
  const once = code.formatText({ filePath, fileText })
  return once === fileText ? once : code.formatText({ filePath, fileText: once })
}

const code = formatter()
const changed = files().filter((name) => {
  const file = join(root, name)
  const before = readFileSync(file, 'utf8')
  const after = formatted(name, before)
  if (after !== before && !isCheck) writeFileSync(file, after)
  return after !== before
})
for (const name of changed) console.log(isCheck ? `not formatted: ${name}` : `formatted: ${name}`)
if (isCheck && changed.length > 0) {
  console.error(`${changed.length} files are not formatted. Run: npm run format`)
  process.exitCode = 1
}
