import { readFileSync } from 'node:fs'
import { repositoryFile } from './paths.js'

/** Release of this package; 0.0.0 if its package.json is missing. */
export const version: string = readVersion()

function readVersion(): string {
  try {
    const text = readFileSync(repositoryFile('package.json'), 'utf8')
    return (JSON.parse(text) as { version?: string }).version ?? '0.0.0'
  } catch {
    return '0.0.0'
  }
}
