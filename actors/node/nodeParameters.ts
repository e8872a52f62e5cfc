import type { BusConnection } from '../ports/bus.js'
import type { NodePorts, NodeProcessInput } from '../ports/node.js'
import type { NodeDirectory } from '../ports/nodeDirectory.js'
import type { ActorSettings } from '../ports/defaultSettings.js'
import type { StatusReporter } from './statusService.js'

/** The program around a node. */
export interface NodeProgram {
  onRunning(): void
  onExit(code: number, reason: string): void
  /** Gives the connection to the host and to remote references, or takes it away (null). */
  onConnection(connection: BusConnection | null): void
}

export interface NodeActorOptions {
  readonly process: NodeProcessInput
  readonly program: NodeProgram
  readonly cleanStopMs: number
  /** Operators may kill single actors (`killActor`). */
  readonly allowsChaos: boolean
  /** If set, a node that the arbiter knows does not start with an empty data directory. */
  readonly requiresData?: boolean
  readonly settings: ActorSettings
  readonly ports: Omit<NodePorts, 'journal' | 'store' | 'salvages' | 'checkpoints'>
  readonly boot: NodeDirectory
  /** Makes the answers to `engram.v1.status.<node>`. */
  readonly status: StatusReporter
  /** Answers to clients go to subjects below these. */
  readonly replyPrefixes: readonly string[]
}
