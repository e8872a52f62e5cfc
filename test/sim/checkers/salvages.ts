/** The writes in salvages, and that no salvage goes before all of it is in the committed log. */
import type { LogEntry } from '../../../machines/log/entries.js'
import { createFrameCodec } from '../../../runtime/codec/frames.js'
import { readSalvage } from '../../support/salvages.js'
import type { SimNode } from '../../support/simNode.js'
import { tokenOf } from '../operations.js'
import { space } from '../plan.js'
import type { CheckedWorld } from './checkedWorld.js'
import { isMember } from './members.js'
import { wholeLog } from './wholeLog.js'
import { nameOf } from './entries.js'

const codec = createFrameCodec()

/** The files on the node's disk, as names. */
export function salvageNames(node: SimNode): string[] {
  return node.disk.paths('/data/salvage').filter((path) => path.endsWith('.salvage'))
}

/** Writes in the salvages of a node's disk, by the place of each there. */
export async function salvagedWrites(node: SimNode): Promise<Map<string, LogEntry>> {
  const files = node.salvageFiles
  const found = new Map<string, LogEntry>()
  for (const { name } of await files.list()) {
    for (const entry of await writesOf(node, name)) found.set(nameOf(entry), entry)
  }
  return found
}

async function writesOf(node: SimNode, name: string): Promise<LogEntry[]> {
  const { header, frames } = await readSalvage(node.salvageFiles, name)
  if (header.space !== space) return []
  return frames.flatMap((frame) => codec.entries(frame)).filter((entry) => tokenOf(entry) !== null)
}

export class SalvageChecks {
  constructor(private readonly world: CheckedWorld) {}

  async releasing(node: SimNode, name: string): Promise<void> {
    const { world } = this
    const writes = await writesOf(node, name)
    const member = node.life?.actor.spaces.get(space)?.member
    if (!member)
      return world.violate('I6', `${node.id} removes ${name} of a space it does not hold`)
    const { holder, commitSequence } = this.logFor(node)
    const home = new Home((await wholeLog(world, holder)).slice(0, commitSequence))
    world.checks.saw('salvages removed')
    for (const write of writes) {
      const at = home.placeOf(write, world)
      if (at === null) {
        world.violate('I6', `${node.id} removes ${name}, and the log of ${holder.id}, committed `
          + `up to ${commitSequence}, has neither (${write.epoch}, ${write.sequence}) `
          + `${JSON.stringify(write)} nor what it came of`)
      } else world.checks.record.mustBeCommitted(node, at)
    }
  }

  /** Its own, as a member's; who was taken out has to take the primary's word. */
  private logFor(node: SimNode): { holder: SimNode; commitSequence: number } {
    const { cluster, checks } = this.world
    const primary = cluster.running.find((one) =>
      one.life?.actor.spaces.get(space)?.primaryRole
      && one.space(space).member.own.epoch === checks.record.current?.epoch
    )
    const { current } = checks.record
    const holder = !primary || !current || isMember(current, node.id) ? node : primary
    return { holder, commitSequence: holder.space(space).member.log.commitSequence }
  }
}

/** The places of the writes of forks in a log. */
class Home {
  private readonly places = new Set<string>()
  private readonly byOrigin = new Map<string, LogEntry>()
  private readonly byKey = new Map<string, LogEntry>()
  private readonly notes = new Map<string, LogEntry>()

  constructor(log: readonly LogEntry[]) {
    for (const entry of log) {
      this.places.add(nameOf(entry))
      const { operation, reconciliation, writeId } = entry
      if (reconciliation) this.byOrigin.set(nameOf(reconciliation.origin), entry)
      if (writeId !== null) this.byKey.set(`${writeId} ${tokenOf(entry)}`, entry)
      if (operation.type !== 'ForkNote' || operation.note !== 'resent') continue
      for (const write of operation.writes) this.notes.set(nameOf(write), entry)
    }
  }

  placeOf(write: LogEntry, { checks }: CheckedWorld): LogEntry | null {
    if (this.places.has(nameOf(write))) return write
    const origin = nameOf(checks.entries.originOf(write))
    const key = write.writeId === null
      ? undefined
      : this.byKey.get(`${write.writeId} ${tokenOf(write)}`)
    return this.byOrigin.get(origin) ?? this.notes.get(origin) ?? key ?? null
  }
}
