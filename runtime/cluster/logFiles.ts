/** The log files of `engram up`: kept small, and read for what went wrong. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { copyFile, rm, stat, truncate } from 'node:fs/promises'

/** A file that is larger is put aside: at most as much again is kept of it, and what comes. */
export const logBytesMax = 16 * 1024 * 1024
const lookMs = 5000

/** Puts these files aside whenever they are too large; ends with what it returns. */
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
 * Copies a file that is larger than that to `FILE.1`, in place of the one before, and empties it:
 * the processes that append to it go on. A few lines of that moment are lost; on a full disk, all
 * of it. Never throws.
 */
export async function putAside(file: string, bytesMax: number): Promise<void> {
  try {
    if ((await stat(file)).size <= bytesMax) return
    const aside = `${file}.1`
    await copyFile(file, aside).catch(() => rm(aside, { force: true }))
    await truncate(file)
  } catch {
    // It is not there, or cannot be touched: looked at again.
  }
}

const tailBytes = 64 * 1024
const linesMax = 8
const columnsMax = 400
const warning = 40

/** Why the process that wrote this log has ended, most likely, for a person. */
export function lastWords(file: string): string {
  const lines = tail(file).trimEnd().split('\n').filter(Boolean)
  const told = lines.slice(lines.findLastIndex((line) => line.startsWith('{')) + 1)
  // A command says in words why it fails; a crash leaves its stack.
  if (told.length > 0) {
    return told.slice(0, linesMax).map((line) => line.slice(0, columnsMax)).join('\n')
      .replace(/^error: /, '')
  }
  return lines.flatMap(warningIn).slice(-3).map((line) => line.slice(0, columnsMax)).join('\n')
}

function warningIn(line: string): string[] {
  try {
    const { level, msg, error } = JSON.parse(line) as {
      level: number; msg: string; error?: unknown
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
