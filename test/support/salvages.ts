import type { Frame } from '../../actors/ports/frames.js'
import type { SalvageFiles, SalvageHeader } from '../../actors/ports/journal.js'

/** All of a salvage. */
export async function readSalvage(
  files: SalvageFiles,
  name: string,
): Promise<{ header: SalvageHeader; frames: Frame[] }> {
  const source = await files.open(name)
  try {
    const frames: Frame[] = []
    for (let frame = await source.next(); frame !== null; frame = await source.next()) {
      frames.push(frame)
    }
    return { header: source.header, frames }
  } finally {
    await source.close()
  }
}
