import type { DirectoryIdentity } from '../../machines/protocol/dataDirectoryVerdict.js'
import type { Checkpoints } from './checkpoints.js'
import type { Journal, SalvageFiles } from './journal.js'
import type { Store } from './store.js'

/** Disk and incarnation that a directory gets when it is taken into use. */
export interface DirectoryNumbers {
  readonly disk: string
  readonly incarnation: number
  readonly spoken: number
}

export interface Recovered {
  readonly journal: Journal
  readonly store: Store
  readonly salvages: SalvageFiles
  readonly checkpoints: Checkpoints
}

/**
 * The data directory. In this order it is read, owned, given a new identity, recovered, closed.
 * Nothing below it is written before `saveIdentity`, except the sockets that mark its owner.
 */
export interface NodeDirectory {
  /**
   * Reads the identity that is stored in the directory; null: it is empty. Rejects if it cannot
   * be read, makes no sense, or is another node's.
   */
  identity(): Promise<DirectoryIdentity | null>
  /** Rejects when another process on this host has the directory. */
  own(): Promise<void>
  /**
   * Called when no process answers to the node's name. Takes the directory over even if its owner
   * could be on another host. Rejects as `own` does.
   */
  confirmOwner(): Promise<void>
  /** Resolves when it is durable. */
  saveIdentity(numbers: DirectoryNumbers): Promise<void>
  recover(): Promise<Recovered>
  /** Size of the reserve. */
  readonly reserveBytes: number
  /** Reserves disk space for a start on a full disk; false: there is no room. Never rejects. */
  keepReserve(): Promise<boolean>
  /** Gives the reserve back, for a write that makes room. False: there is none, or it stays. */
  releaseReserve(): Promise<boolean>
  /** Bytes that may still be written. Rejects with FileSystemError. */
  freeBytes(): Promise<number>
  /** All salvages, whether they can be read or not. Rejects with FileSystemError. */
  salvageFiles(): Promise<readonly { readonly name: string; readonly bytes: number }[]>
  close(): Promise<void>
}
