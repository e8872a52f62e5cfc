import type { DirectoryIdentity } from '../../machines/protocol/directory.js'
import type { Journal, SalvageFiles } from '../ports/journal.js'
import type { Store } from '../ports/store.js'

/** What a directory is once it may be used. */
export interface DirectoryNumbers {
  readonly disk: string
  readonly incarnation: number
  readonly spoken: number
}

export interface Recovered {
  readonly journal: Journal
  readonly store: Store
  readonly salvages: SalvageFiles
}

/**
 * The data directory: looked at, owned, its identity renewed, recovered, closed, in this order.
 * Nothing below it is written before `saveIdentity`, but for the sockets that tell its owner.
 */
export interface NodeDirectory {
  /**
   * Reads what the directory says of itself; null: nothing, it is empty. Rejects when it cannot
   * be read, when what it says makes no sense, or when it is another node's.
   */
  identity(): Promise<DirectoryIdentity | null>
  /** Rejects when another process on this host has the directory. */
  own(): Promise<void>
  /**
   * Nobody answers to the node's name: takes a directory, too, whose owner could be on another
   * host. Rejects as `own` does.
   */
  confirmOwner(): Promise<void>
  /** Durable when it resolves. */
  saveIdentity(numbers: DirectoryNumbers): Promise<void>
  recover(): Promise<Recovered>
  /** Keeps disk space aside for a start on a full disk; false: there is no room. Never rejects. */
  keepReserve(): Promise<boolean>
  close(): Promise<void>
}
