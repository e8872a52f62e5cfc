/** Faults to a node's disk, and what a node takes of disk and memory, as seen from outside. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** As after a power cut: the store is not that of this boot, and is thrown away. */
export function distrustStore(data: string): void {
  const file = join(data, 'store', 'marker.json')
  const marker = JSON.parse(readFileSync(file, 'utf8')) as object
  writeFileSync(file, JSON.stringify({ ...marker, boot: 'another', clean: false }))
}

export async function gone(pid: number): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await delay(50)
  }
  throw new Error(`process ${pid} does not end`)
}

export function bytesBelow(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += bytesBelow(path)
    else bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0
  }
  return bytes
}

/** Resident memory that is no mapped file, MiB; NaN once the process has ended. */
export function rssOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/^RssAnon:\s*(\d+) kB/m.exec(status)?.[1]) / 1024
  } catch {
    return NaN
  }
}
