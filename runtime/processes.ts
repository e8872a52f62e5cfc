/** Processes that are no children: told apart by pid and start time, since pids come again. */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'

export interface ProcessId {
  readonly pid: number
  /** Start time in clock ticks since boot, where /proc tells; else null. */
  readonly started: string | null
}

/** Null where nothing tells. */
export function startedAt(pid: number): string | null {
  const fields = statOf(pid)
  // Field 22; the first one here is field 3.
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

/** Of /proc/PID/stat, from field 3 on: the second one, the name, may hold spaces and brackets. */
function statOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** The living process of this machine that holds a node's data directory, as its lock file says. */
export function holderOf(directory: string): ProcessId | null {
  try {
    const found = JSON.parse(readFileSync(join(directory, 'engram.lock'), 'utf8')) as {
      pid: number; host: string; started: string
    }
    if (found.host !== hostname()) return null
    const started = startedAt(found.pid)
    // Where /proc does not tell, the file's own kind of start time cannot be compared.
    if (started !== null && found.started !== started) return null
    const holder = { pid: found.pid, started }
    return lives(holder) ? holder : null
  } catch {
    return null
  }
}
