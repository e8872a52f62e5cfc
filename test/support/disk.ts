/** Disks that are small, full, torn or rotten. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { atExit, removeTemporary, temporaryDirectory } from './environment.js'

const mounted = new Set<string>()
atExit(() => {
  for (const directory of mounted) unmount(directory)
})

/** A tmpfs of that size. Throws where mounting is refused: ask `mountRefusal` before. */
export function mountSmallDisk(directory: string, megabytes: number): string {
  mkdirSync(directory, { recursive: true })
  const args = ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory]
  execFileSync('mount', args, { stdio: 'pipe' })
  mounted.add(directory)
  return directory
}

/** Why no tmpfs can be mounted here (not root, not Linux, a strict container), or null. */
export function mountRefusal(): string | null {
  const directory = temporaryDirectory('mount')
  try {
    unmount(mountSmallDisk(join(directory, 'probe'), 1))
    return null
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error)
  } finally {
    removeTemporary(directory)
  }
}

export function unmount(directory: string): void {
  mounted.delete(directory)
  execFileSync('umount', ['-l', directory], { stdio: 'pipe' })
}

export function segmentFiles(data: string): string[] {
  const directory = join(data, 'journal')
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(directory, entry.name)).toSorted()
}

/** Cuts the last written bytes off the newest segment that holds any; says what it did. */
export function tearTail(data: string, bytes: number): string {
  for (const file of segmentFiles(data).toReversed()) {
    const content = readFileSync(file)
    let end = content.length
    while (end > 0 && content[end - 1] === 0) end -= 1
    if (end <= bytes) continue
    truncateSync(file, end - bytes)
    return `${file}: ${content.length} bytes, ${end} of them written, cut to ${end - bytes}`
  }
  throw new Error(`no segment with content in ${join(data, 'journal')}`)
}

/** Flips one bit of the bytes `marker` wherever the journal holds them; says where. */
export function flipBit(data: string, marker: string): string {
  const where: string[] = []
  for (const file of segmentFiles(data)) {
    const content = readFileSync(file)
    for (let at = content.indexOf(marker); at >= 0; at = content.indexOf(marker, at + 1)) {
      const place = at + (marker.length >> 1)
      content[place] = (content[place] ?? 0) ^ 0x10
      where.push(`${file} at ${place} of ${content.length}`)
    }
    if (where.length > 0) {
      writeFileSync(file, content)
      return where.join(', ')
    }
  }
  throw new Error(`the journal in ${data} does not hold the bytes of ${marker}`)
}
