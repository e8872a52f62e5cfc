import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const packageName = 'engram-replication'

/**
 * Path of a file that is shipped at the top of the repository, such as nats.conf, wherever the
 * compiled code is below it (dist/, or the output directory of a test).
 * @throws Error when neither the package nor the file is found above `from`
 */
export function repositoryFile(name: string, from: string = import.meta.url): string {
  const start = from.startsWith('file:') ? dirname(fileURLToPath(from)) : from
  const above = [...parents(start)]
  const root = above.find((directory) => packageAt(directory) === packageName)
  const holder = root !== undefined && existsSync(join(root, name))
    ? root
    : above.find((directory) => existsSync(join(directory, name)))
  if (holder === undefined) throw new Error(`${name} was not found in or above ${start}`)
  return join(holder, name)
}

/** Directory of the package, or null if the code was copied out of it. */
export function packageRoot(from: string = import.meta.url): string | null {
  const start = from.startsWith('file:') ? dirname(fileURLToPath(from)) : from
  return [...parents(start)].find((directory) => packageAt(directory) === packageName) ?? null
}

/** The compiled command, in dist/runtime/cli. */
export function commandFile(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '..', 'cli', 'main.js')
}

function* parents(start: string): Generator<string> {
  for (let directory = start;; directory = dirname(directory)) {
    yield directory
    if (dirname(directory) === directory) return
  }
}

function packageAt(directory: string): string | null {
  try {
    const text = readFileSync(join(directory, 'package.json'), 'utf8')
    return (JSON.parse(text) as { name?: string }).name ?? null
  } catch {
    return null
  }
}
