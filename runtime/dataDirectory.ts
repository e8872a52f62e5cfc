/** The directory that a process keeps its data in: made when absent, or refused with a remedy. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** The directory cannot be used. */
export class DataDirectoryError extends Error {
  readonly code = 'DATA_DIRECTORY'
  constructor(readonly directory: string, why: string, readonly remedy: string, cause: unknown) {
    super(`the data directory ${directory} cannot be used: ${why}`, { cause })
    this.name = 'DataDirectoryError'
  }
}

interface Fault {
  readonly why: string
  readonly remedy: string
}

const elsewhere = 'choose another --data DIR'
const noDirectory: Fault = {
  why: 'it, or what it lies in, is no directory', remedy: `Name a directory: ${elsewhere}.`,
}
const notAllowed: Fault = {
  why: 'this user may not write there', remedy: `Change its owner or its mode, or ${elsewhere}.`,
}
const noRoom: Fault = {
  why: 'no space is left on its file system', remedy: `Make room there, or ${elsewhere}.`,
}

/** By the code of the system's error. */
const faults: Readonly<Record<string, Fault>> = {
  ENOTDIR: noDirectory, EEXIST: noDirectory,
  EACCES: notAllowed, EPERM: notAllowed,
  ENOSPC: noRoom, EDQUOT: noRoom,
  EROFS: {
    why: 'its file system is read-only', remedy: `Mount it for writing, or ${elsewhere}.`,
  },
  ENOENT: {
    why: 'no directory can be made there', remedy: `Name a place on a disk: ${elsewhere}.`,
  },
}

/**
 * Makes the directory when absent, one level after the other: mkdir with `recursive` never comes
 * back below /proc.
 * @throws DataDirectoryError
 */
export function makeDataDirectory(path: string, mode = 0o777): void {
  const directory = resolve(path)
  try {
    const missing: string[] = []
    let at = directory
    while (!statSync(at, { throwIfNoEntry: false })) {
      missing.push(at)
      at = dirname(at)
    }
    for (const one of missing.toReversed()) makeOne(one, mode)
    if (!statSync(directory).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    const { why, remedy } = faults[code] ?? { why: message, remedy: `Check it, or ${elsewhere}.` }
    throw new DataDirectoryError(path, why, remedy, error)
  }
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Another process was quicker.
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST'
      && statSync(path, { throwIfNoEntry: false })?.isDirectory()
    if (!isThere) throw error
  }
}

/** What to do about a system's error that a message names; null when it names none. */
export function remedyIn(message: string): string | null {
  const code = Object.keys(faults).find((one) => new RegExp(`\\b${one}\\b`).test(message))
  return code === undefined ? null : faults[code]?.remedy ?? null
}
