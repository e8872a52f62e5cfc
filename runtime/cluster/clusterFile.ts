/**
 * The file with which `engram up` holds its data directory (`up.json`), and by which other commands
 * find its cluster. It names the process that made it; a dead process holds nothing. Only its owner
 * can read it: with the key in it, one can inject faults.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeDirectory } from '../journal/directoryOwner.js'
import { lives, startedAt } from './processes.js'

/** Address and token for faults of a running `engram up`. */
export interface ControlAddress {
  /** `http://127.0.0.1:port/` */
  readonly url: string
  readonly token: string
}

export interface UpRecord {
  readonly pid: number
  /** Start time of that process in clock ticks since boot, if /proc has it: pids are reused. */
  readonly started: string | null
  /** URL of the NATS server, once it runs. */
  readonly nats: string | null
  /** Path of the file with its credentials. */
  readonly auth: string | null
  readonly http: string | null
  /** Address for injecting faults, with its key. */
  readonly control: ControlAddress | null
}

/** Another `engram up` runs on this data directory. */
export class DataInUseError extends Error {
  readonly code = 'DATA_IN_USE'
  constructor(readonly data: string, readonly pid: number) {
    super(`another engram up (pid ${pid}) runs on ${data}`)
    this.name = 'DataInUseError'
  }
}

const fileOf = (data: string): string => join(data, 'up.json')

/** The record of a living process, or null. */
export function readUpRecord(data: string): UpRecord | null {
  try {
    const record = JSON.parse(readFileSync(fileOf(data), 'utf8')) as UpRecord
    return lives(record) ? record : null
  } catch {
    return null
  }
}

/**
 * Takes the directory for this process; creates it if it does not exist.
 * Rejects with DataInUseError, DirectoryUnusableError.
 */
export async function takeData(data: string): Promise<void> {
  await makeDirectory(data, 0o700)
  for (let attempt = 0; attempt < 3; attempt++) {
    const holder = readUpRecord(data)
    if (holder) throw new DataInUseError(data, holder.pid)
    try {
      writeFileSync(fileOf(data), JSON.stringify(own()), { flag: 'wx', mode: 0o600 })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      // Left behind by a dead process. It is moved, not removed: of two processes one succeeds.
      const aside = `${fileOf(data)}.${process.pid}`
      try {
        renameSync(fileOf(data), aside)
        rmSync(aside)
      } catch {
        // The other process did.
      }
    }
  }
  throw new DataInUseError(data, 0)
}

/** Publishes where the cluster is. */
export function publishUp(
  data: string,
  found: Pick<UpRecord, 'nats' | 'auth' | 'http' | 'control'>,
): void {
  const temporary = `${fileOf(data)}.new`
  rmSync(temporary, { force: true })
  writeFileSync(temporary, JSON.stringify({ ...own(), ...found }), { flag: 'wx', mode: 0o600 })
  renameSync(temporary, fileOf(data))
}

export function releaseData(data: string): void {
  const holder = readUpRecord(data)
  if (holder?.pid === process.pid) rmSync(fileOf(data), { force: true })
}

function own(): UpRecord {
  return {
    pid: process.pid,
    started: startedAt(process.pid),
    nats: null,
    auth: null,
    http: null,
    control: null,
  }
}
