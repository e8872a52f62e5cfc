/**
 * One process per data directory. On Linux the lock is a listening socket in the abstract
 * namespace, named after the directory's device and inode: the kernel frees it however the
 * process dies, so neither a stale file nor a reused pid can mislead. Elsewhere it is a file with
 * pid and start time of the holder, taken over when no such process lives. Processes in different
 * network namespaces (containers that share a volume) do not see each other's abstract sockets;
 * the file, which is written on Linux too, names the holder to whoever looks.
 */
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync,
} from 'node:fs'
import { createConnection, createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'

export class DataDirectoryLockedError extends Error {
  readonly code = 'DATA_DIRECTORY_LOCKED'
  constructor(readonly directory: string, readonly holder: LockHolder | null) {
    super(`${directory} is in use by ${holder
      ? `process ${holder.pid} on ${holder.host} (since ${holder.since})`
      : 'another process'}: stop it first, or use another data directory`)
    this.name = 'DataDirectoryLockedError'
  }
}

export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** When it took the lock, ISO 8601. */
  readonly since: string
  /** Start of the process as `ps` tells it: a reused pid has another one. */
  readonly started: string
  /** Tells this taking of the lock from every other. */
  readonly nonce: string
}

export interface DirectoryLock {
  /** A second call does nothing. */
  release(): Promise<void>
}

const FILE = 'engram.lock'
const ASK_MS = 500

/**
 * Throws DataDirectoryLockedError when another process, or this one, holds the directory (made
 * when absent). The lock does not keep the process alive.
 */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  mkdirSync(directory, { recursive: true })
  return process.platform === 'linux' ? lockBySocket(directory) : lockByFile(directory)
}

async function lockBySocket(directory: string): Promise<DirectoryLock> {
  const { dev, ino } = statSync(directory, { bigint: true })
  const name = `\0engram-data-${dev}-${ino}`
  const me = holderHere()
  // Whoever connects is told who holds the lock.
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.end(JSON.stringify(me))
  })
  try {
    await listen(server, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new DataDirectoryLockedError(directory, await askHolder(name))
  }
  server.unref()
  const path = join(directory, FILE)
  writeFileSync(path, JSON.stringify(me))
  let released = false
  return {
    release: async () => {
      if (released) return
      released = true
      rmSync(path, { force: true })
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function listen(server: Server, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(name, () => {
      server.off('error', reject)
      server.on('error', () => undefined)
      resolve()
    })
  })
}

/** Null when the holder does not answer in time (stopped, or just going). */
function askHolder(name: string): Promise<LockHolder | null> {
  return new Promise((resolve) => {
    let text = ''
    const socket = createConnection(name)
    const finish = (): void => {
      socket.destroy()
      resolve(parseHolder(text))
    }
    socket.setTimeout(ASK_MS, finish)
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8')
    })
    socket.on('end', finish)
    socket.on('error', finish)
  })
}

function parseHolder(text: string): LockHolder | null {
  try {
    const value = JSON.parse(text) as LockHolder
    return Number.isSafeInteger(value.pid) ? value : null
  } catch {
    return null
  }
}

const ATTEMPTS = 3

/** For systems without abstract sockets; exported for its test. */
export async function lockByFile(directory: string): Promise<DirectoryLock> {
  const path = join(directory, FILE)
  const text = JSON.stringify(holderHere())
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    try {
      const file = openSync(path, 'wx')
      writeFileSync(file, text)
      closeSync(file)
      return { release: async () => removeOwn(path, text) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const found = readText(path)
    const holder = parseHolder(found)
    if (holder && isAlive(holder)) throw new DataDirectoryLockedError(directory, holder)
    removeOwn(path, found)
  }
  throw new DataDirectoryLockedError(directory, null)
}

/** Only what was looked at is removed: another process may have taken the lock meanwhile. */
function removeOwn(path: string, text: string): void {
  if (readText(path) === text) rmSync(path, { force: true })
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function isAlive(holder: LockHolder): boolean {
  // What happens on another host cannot be told from here: an operator has to remove the file.
  if (holder.host !== hostname()) return true
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return holder.started === '' || holder.started === startOf(holder.pid)
}

function holderHere(): LockHolder {
  return {
    pid: process.pid, host: hostname(), nonce: randomUUID(),
    since: new Date().toISOString(),
    started: process.platform === 'linux' ? startFromProc(process.pid) : startOf(process.pid),
  }
}

function startOf(pid: number): string {
  if (process.platform === 'linux') return startFromProc(pid)
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

/** Field 22 of /proc/PID/stat (proc(5)): start in clock ticks since boot. */
function startFromProc(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}
