/**
 * Gathers the evidence for the audit once the faults are over: members, log, salvages, and what
 * the cluster says of them.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { FateValue } from '../../actors/ports/clientApi.js'
import type { Logger } from '../../actors/ports/system.js'
import { messageOf } from '../../machines/base/thrown.js'
import type { ForkReport } from '../../machines/log/forkNotes.js'
import type { EngramClient } from '../client/client.js'
import { ReadError } from '../client/errors.js'
import { createSalvageFiles, entriesOf } from '../journal/salvage.js'
import type { ClusterNode, ClusterSpace } from '../status/status.js'
import { NodeFileSystem } from '../system/fileSystem.js'
import type { MemberEnd } from './audit.js'
import { loggedRecord } from './load.js'
import type { LoggedRecord, SalvagedRecord, WrittenRecord } from './records.js'
import type { Watch } from './watch.js'

const convergeMs = 60_000
/** Time for nodes that are back to upload their salvages. */
const uploadMs = 30_000
const againMs = 100
const pageLimit = 500
const readMs = 20_000
/** Fates asked for at a time. */
const askingMax = 32

/**
 * Waits until all members are at one sequence, at most a minute, and until the reports on nodes
 * that are back are closed, at most half a minute more. Returns the members as they were last.
 */
export async function membersInTheEnd(
  watch: Watch,
): Promise<{ members: MemberEnd[]; hasConverged: boolean; returned: Set<string> }> {
  let found: ClusterSpace | null = null
  let returned = new Set<string>()
  let evenAt: number | null = null
  for (const beganAt = performance.now();; await pause(againMs)) {
    found = await watch.look() ?? found
    returned = returnedNodes(watch, found)
    const now = performance.now()
    if (!found || !isEven(found)) {
      if (now - (evenAt ?? beganAt) > convergeMs) break
      continue
    }
    evenAt ??= now
    if (!waitsFor(found, returned) || now - evenAt > uploadMs) break
  }
  const members = (found?.members ?? []).map(
    ({ node, role, epoch, inSync, appliedSequence, digest }) => ({ node, role, epoch, inSync,
      appliedSequence, digest }),
  )
  return { members, hasConverged: found !== null && isEven(found), returned }
}

/** Nodes that answer and upload their salvages by themselves, in a space that reconciles. */
function returnedNodes(watch: Watch, found: ClusterSpace | null): Set<string> {
  const { reconcile = 'automatic' } = found ?? {}
  const nodes = reconcile === 'automatic' ? watch.status?.nodes ?? [] : []
  return new Set(nodes.filter(({ pid }) => pid !== null).map(({ id }) => id))
}

function waitsFor({ openReports = [] }: ClusterSpace, returned: ReadonlySet<string>): boolean {
  return openReports.some(({ node }) => returned.has(node))
}

/**
 * Fork reports opened at that entry of the log or later.
 * @throws ReadError
 */
export async function readReports(
  client: EngramClient,
  space: string,
  from: number,
): Promise<ForkReport[]> {
  const reports = await client.readAll(space, { type: 'GetForks' }, { deadlineMs: readMs })
  return reports.filter(({ opened }) => opened.sequence >= from)
}

/** Fates of the records with those keys, asked for by where they were logged. */
export async function readFates(
  client: EngramClient,
  space: string,
  records: readonly WrittenRecord[],
  keys: readonly string[],
): Promise<Map<string, FateValue>> {
  const asked = new Set(keys)
  const left = records.filter(({ key, answer }) => answer && asked.has(key))
  const fates = new Map<string, FateValue>()
  await Promise.all(Array.from({ length: askingMax }, async () => {
    for (let record = left.pop(); record; record = left.pop()) {
      const { loggedEpoch: epoch, sequence } = record.answer!
      const { value } = await client.read(
        space,
        { type: 'GetFate', epoch, sequence },
        { deadlineMs: readMs },
      )
      fates.set(record.key, value)
    }
  }))
  return fates
}

function isEven(found: ClusterSpace): boolean {
  const { members, rf, endSequence, primary, commitSequence } = found
  return primary !== null && commitSequence === endSequence
    && members.filter((member) =>
        member.inSync && member.epoch === found.epoch
        && member.durableSequence === endSequence && member.appliedSequence === endSequence
      )
        .length >= rf
}

/**
 * The committed log from a sequence on, read from the primary. If the primary does not answer, it
 * is read from any member, and `fault` says so.
 * @throws ReadError when no member answers, or entries are no longer kept
 */
export async function readLog(
  client: EngramClient,
  space: string,
  from: number,
  run: string,
): Promise<{ log: LoggedRecord[]; fault: string | null }> {
  try {
    return { log: await readPages(client, space, from, run, 'primary'), fault: null }
  } catch (error) {
    if (!(error instanceof ReadError) || error.code === 'TRUNCATED') throw error
    const fault = `in the end no primary answers reads (I10): ${error.message}`
    return { log: await readPages(client, space, from, run, 'any'), fault }
  }
}

async function readPages(
  client: EngramClient,
  space: string,
  first: number,
  run: string,
  from: 'primary' | 'any',
): Promise<LoggedRecord[]> {
  const log: LoggedRecord[] = []
  for (;;) {
    const query = { type: 'GetEntries', from: first + log.length, limit: pageLimit } as const
    const { value } = await client.read(
      space,
      query,
      { from, committed: true, deadlineMs: readMs },
    )
    if (value.length === 0) return log
    log.push(...value.map((entry) => loggedRecord(entry, run)))
  }
}

const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/** Records that members had to truncate in the space with that uuid. */
export async function readSalvages(
  nodes: readonly ClusterNode[],
  uuid: string,
  run: string,
): Promise<{ salvaged: SalvagedRecord[]; unreadable: string[] }> {
  const salvaged: SalvagedRecord[] = []
  const unreadable: string[] = []
  for (const { id, data } of nodes) {
    if (data === null || !existsSync(data)) {
      unreadable.push(`${id}: ${data ?? 'does not answer, so its directory is not known'}`)
      continue
    }
    const files = createSalvageFiles({
      directory: join(data, 'salvage'),
      fileSystem: new NodeFileSystem(),
      logger: silent,
    })
    try {
      for (const { name, header } of await files.list()) {
        if (header.uuid !== uuid) continue
        for await (const { writeId, epoch } of entriesOf(files, name)) {
          if (writeId?.startsWith(`${run}-`)) salvaged.push({ key: writeId, epoch, node: id })
        }
      }
    } catch (error) {
      unreadable.push(`${id}: ${messageOf(error)}`)
    }
  }
  return { salvaged, unreadable }
}
