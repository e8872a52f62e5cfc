/** Images of spaces, read to their end. */
import type { SpaceImage, SpaceStore } from '../../actors/ports/store.js'
import { RecordCursor } from '../../runtime/store/imageRecords.js'

export interface ImageRecord {
  readonly table: number
  /** In hex. */
  readonly key: string
  readonly value: Buffer
}

/** The slices of the image of the present state, which has to be there. */
export function slicesOf(space: SpaceStore): Buffer[] {
  const image = space.image(space.applied)!
  try {
    return drain(image)
  } finally {
    image.close()
  }
}

export function drain(image: SpaceImage): Buffer[] {
  const slices: Buffer[] = []
  for (let slice = image.next(); slice.length > 0; slice = image.next()) {
    slices.push(Buffer.from(slice))
  }
  return slices
}

export function recordsOf(slices: readonly Buffer[]): ImageRecord[] {
  return slices.flatMap((bytes) => {
    const records: ImageRecord[] = []
    const cursor = new RecordCursor(bytes)
    while (cursor.next()) {
      const { table, key, value, end } = cursor
      const text = bytes.toString('hex', key, value)
      records.push({ table, key: text, value: bytes.subarray(value, end) })
    }
    if (cursor.fault !== null) throw new Error(cursor.fault)
    return records
  })
}
