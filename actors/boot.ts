import type { Journal, SalvageFiles, Store } from './ports.js'

export interface Opened {
  readonly disk: string
  readonly incarnation: number
}

export interface Recovered {
  readonly journal: Journal
  readonly store: Store
  readonly salvages: SalvageFiles
}

/** The data directory: opened once, recovered once, closed once. */
export interface Boot {
  /** Locks the directory, raises the incarnation. Rejects when another process has it. */
  open(): Promise<Opened>
  recover(): Promise<Recovered>
  close(): Promise<void>
}
