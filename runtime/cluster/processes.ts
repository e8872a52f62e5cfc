/** Processes that are no children: identified by pid and start time, since pids are reused. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { ownerOf } from '../journal/directoryOwner.js'

export interface ProcessId {
  readonly pid: number
  /** Start time in clock ticks since boot, from /proc; null if unknown. */
  readonly started: string | null
}

/** Null if unknown. */
export function startedAt(pid: number): string | null {
  const fields = statOf(pid)
  // Field 22; index 0 here is field 3.
  return fields?.[19] ?? null
}

/** Whether that very process is still there. A zombie has ended. */
export function lives({ pid, started }: ProcessId): boolean {
  if (!Number.isSafeInteger(pid) || pid < 1) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const fields = statOf(pid)
  return fields?.[0] !== 'Z' && (fields?.[19] ?? null) === started
}

/** Fields of /proc/PID/stat from field 3 on: the second, the name, may hold spaces and brackets. */
function statOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** The living process on this machine that runs that node on that data directory. */
export async function runnerOf(node: string, directory: string): Promise<ProcessId | null> {
  const owner = (await ownerOf(directory))?.owner
  if (!owner || owner.node !== node || owner.host !== hostname()) return null
  const runner = { pid: owner.pid, started: startedAt(owner.pid) }
  return lives(runner) ? runner : null
}
