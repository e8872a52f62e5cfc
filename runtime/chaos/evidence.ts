/** Gathers what the books are made from, once the faults are over: members, log, salvages. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from '../../actors/ports.js'
import type { EngramClient } from '../client/client.js'
import { ReadError } from '../client/errors.js'
import { frameEntries } from '../codec/frames.js'
import { NodeFileSystem } from '../fs.js'
import { createSalvageFiles } from '../journal/salvage.js'
import type { ClusterNode, ClusterSpace } from '../status.js'
import type { LoggedRecord, MemberEnd, SalvagedRecord } from './books.js'
import { loggedRecord } from './load.js'
import type { Watch } from './watch.js'

const convergeMs = 60_000
const againMs = 100
const pageLimit = 500
const readMs = 20_000

/** Waits until all members are at one place, at most a minute; says how they stood last. */
export async function membersInTheEnd(
  watch: Watch,
): Promise<{ members: MemberEnd[]; hasConverged: boolean }> {
  let found: ClusterSpace | null = null
  for (const giveUpAt = Date.now() + convergeMs; Date.now() < giveUpAt; await pause(againMs)) {
    found = await watch.look() ?? found
    if (found && isEven(found)) break
  }
  const members = (found?.members ?? []).map(
    ({ node, role, epoch, inSync, appliedSequence, digest }) =>
      ({ node, role, epoch, inSync, appliedSequence, digest }))
  return { members, hasConverged: found !== null && isEven(found) }
}

function isEven(found: ClusterSpace): boolean {
  const { members, rf, endSequence, primary, commitSequence } = found
  return primary !== null && commitSequence === endSequence
    && members.filter((member) => member.inSync && member.epoch === found.epoch
      && member.durableSequence === endSequence && member.appliedSequence === endSequence)
      .length >= rf
}

/**
 * The committed log from a sequence on, as its primary tells it; should that not answer, as any
 * member does, and the fault is told.
 * @throws ReadError when nobody answers
 */
export async function readLog(
  client: EngramClient, space: string, from: number, run: string,
): Promise<{ log: LoggedRecord[]; fault: string | null }> {
  try {
    return { log: await readPages(client, space, from, run, 'primary'), fault: null }
  } catch (error) {
    if (!(error instanceof ReadError)) throw error
    const fault = `in the end no primary answers reads (I10): ${error.message}`
    return { log: await readPages(client, space, from, run, 'any'), fault }
  }
}

async function readPages(
  client: EngramClient, space: string, first: number, run: string, from: 'primary' | 'any',
): Promise<LoggedRecord[]> {
  const log: LoggedRecord[] = []
  for (;;) {
    const query = { type: 'GetEntries', from: first + log.length, limit: pageLimit } as const
    const { value } = await client.read(
      space, query, { from, committed: true, deadlineMs: readMs })
    if (value.length === 0) return log
    log.push(...value.map((entry) => loggedRecord(entry, run)))
  }
}

const silent: Logger = {
  debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined,
}

/** What members had to truncate, of the space with that uuid. */
export async function readSalvages(
  nodes: readonly ClusterNode[], uuid: string, run: string,
): Promise<{ salvaged: SalvagedRecord[]; unreadable: string[] }> {
  const salvaged: SalvagedRecord[] = []
  const unreadable: string[] = []
  for (const { id, data } of nodes) {
    if (data === null || !existsSync(data)) {
      unreadable.push(`${id}: ${data ?? 'it does not answer, its directory is not known'}`)
      continue
    }
    const files = createSalvageFiles({
      directory: join(data, 'salvage'), fileSystem: new NodeFileSystem(), logger: silent,
    })
    try {
      for (const { name, header } of await files.list()) {
        if (header.uuid !== uuid) continue
        const { frames } = await files.read(name)
        for (const { writeId, epoch } of frames.flatMap((frame) => frameEntries(frame))) {
          if (writeId?.startsWith(`${run}-`)) salvaged.push({ key: writeId, epoch, node: id })
        }
      }
    } catch (error) {
      unreadable.push(`${id}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return { salvaged, unreadable }
}
