import type { NodeContext } from '../member/context.js'
import type { Member } from '../member/member.js'
import type { SectionManifest, StoredSection } from '../ports/checkpoints.js'
import type { Coverage } from '../ports/journal.js'
import { namedFiles } from '../ports/journal.js'
import { enterAll } from './enterCoverage.js'
import type { CoverageWriter } from './enterCoverage.js'
import { removeFormer } from './formerFiles.js'
import { shortHistory } from './shortHistory.js'
import { noteUnusable } from './unusable.js'

/** A section of a new file. Nothing of it counts before a record names it. */
export interface Written {
  readonly member: Member
  /** As its log was when the image was taken. */
  readonly installs: number
  readonly section: StoredSection
}

/** The checkpoint that stays beside the new one: the newest that can be used. */
interface Older {
  readonly kept: Coverage['kept'][number]
  readonly manifest: SectionManifest
}

/**
 * Writes the records that name the sections of a file, in one flush: so no other record finds the
 * file named by some of them only, and removes it. A section whose log is another one by then is
 * left out. Files that no record names any more are removed. Returns what counts from now on.
 */
export async function nameSections(
  writer: CoverageWriter,
  written: readonly Written[],
): Promise<readonly Written[]> {
  const [first] = written
  if (!first) return []
  const { context, context: { ports: { journal, checkpoints } } } = writer
  try {
    const found: { one: Written; before: Coverage; older: Older | null }[] = []
    for (const one of written) {
      const before = journal.log(one.member.uuid)?.covers
      if (before) found.push({ one, before, older: await olderOf(context, one.member, before) })
    }
    // After all that is waited for: histories are shortened by what is known now.
    const namings = found.map(({ one, before, older }) => ({
      ...one,
      before,
      covers: coverage(one, before, older),
    }))
    const named = await enterAll(writer, namings)
    for (const { member, covers } of named) member.log.sumUp(covers.history.root)
    await removeFormer(context.ports, ...named.map(({ before }) => before))
    return named
  } finally {
    const { file } = first.section
    if (!namedFiles(journal).has(file)) await checkpoints.remove(file).catch(() => undefined)
  }
}

/** The newest and the one before it that can be used count from now on. */
function coverage(
  { member, installs, section: { file, id, position } }: Written,
  before: Coverage,
  older: Older | null,
): Coverage {
  const kept = { file, id, position }
  if (!older) return { ...before, installs, kept: [kept] }
  const { clock, timestamp } = older.manifest
  const covered = older.kept.position
  const history = shortHistory(member, covered.sequence)
  return { installs, kept: [older.kept, kept], covered, history, clock, timestamp }
}

async function olderOf(
  context: NodeContext,
  { uuid }: Member,
  { kept }: Coverage,
): Promise<Older | null> {
  const { checkpoints } = context.ports
  for (const one of kept.toReversed()) {
    const stored = checkpoints.find(uuid, one)
    if (!stored) continue
    try {
      const reader = await checkpoints.open(stored)
      await reader.close()
      return { kept: one, manifest: reader.manifest }
    } catch (error) {
      noteUnusable(context, stored, error)
    }
  }
  return null
}
