/** The log files of `engram up`: kept small, and searched for the cause of an end. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { copyFile, rm, stat, truncate } from 'node:fs/promises'

/** A larger file is rotated: at most as much again is kept of it. */
export const logBytesMax = 16 * 1024 * 1024
const lookMs = 5000

/** Rotates these files whenever they are too large; the returned function ends that. */
export function keepSmall(files: readonly string[]): () => void {
  let isLooking = false
  const look = async (): Promise<void> => {
    if (isLooking) return
    isLooking = true
    for (const file of files) await putAside(file, logBytesMax)
    isLooking = false
  }
  const timer = setInterval(() => void look(), lookMs)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Copies a larger file to `FILE.1`, replacing the one before, and empties it: the processes that
 * append to it go on. A few lines of that moment are lost; on a full disk, all of them. Never
 * throws.
 */
export async function putAside(file: string, bytesMax: number): Promise<void> {
  try {
    if ((await stat(file)).size <= bytesMax) return
    const aside = `${file}.1`
    await copyFile(file, aside).catch(() => rm(aside, { force: true }))
    await truncate(file)
  } catch {
    // It does not exist, or cannot be changed: the next round tries again.
  }
}

const tailBytes = 64 * 1024
const linesMax = 8
const columnsMax = 400
const warning = 40

/** The most likely cause of the end of the process that wrote this log, for a person. */
export function lastWords(file: string): string {
  const lines = tail(file).trimEnd().split('\n').filter(Boolean)
  const text = lines.slice(lines.findLastIndex((line) => line.startsWith('{')) + 1)
  // A command prints why it fails; a crash leaves its stack.
  if (text.length > 0) {
    return text.slice(0, linesMax).map((line) => line.slice(0, columnsMax)).join('\n')
      .replace(/^error: /, '')
  }
  return lines.flatMap(warningIn).slice(-3).map((line) => line.slice(0, columnsMax)).join('\n')
}

function warningIn(line: string): string[] {
  try {
    const { level, msg, error } = JSON.parse(line) as {
      level: number
      msg: string
      error?: unknown
    }
    if (level < warning) return []
    return [typeof error === 'string' ? `${msg}: ${error}` : msg]
  } catch {
    return []
  }
}

function tail(file: string): string {
  try {
    const fd = openSync(file, 'r')
    try {
      const { size } = fstatSync(fd)
      const bytes = Buffer.alloc(Math.min(size, tailBytes))
      return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, size - bytes.length))
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}
