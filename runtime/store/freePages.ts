/**
 * LMDB's list of free pages, read from a file that is not mapped. A page that a transaction takes
 * at the end of the file, and frees again, is never written: then the file is shorter than its last
 * page says, and whole all the same, since the list has the pages that are missing. (mdb.c: "the
 * file may be shorter if the freeDB lists the final pages".)
 */
import type { FileHandle } from 'node:fs/promises'

export interface FreeList {
  readonly pageBytes: number
  /** Page of its root; 2 ** 64 - 1 if the list is empty. */
  readonly root: bigint
  /** Pages of its tree, without those of large values. */
  readonly pages: bigint
}

const HEADER_BYTES = 24
const NODE_BYTES = 8
const BRANCH = 0x01
const LEAF = 0x02
/** Flag of a node: its value lies on pages of its own. */
const LARGE = 0x01
const EMPTY = 2n ** 64n - 1n
/** A value of the list has fewer bytes: LMDB splits what is longer. */
const VALUE_BYTES_MAX = 64 * 1024 * 1024

/** How many pages from `first` to `last` the list has. Rejects if it makes no sense. */
export async function freeBetween(
  file: FileHandle,
  { pageBytes, root, pages }: FreeList,
  first: bigint,
  last: bigint,
): Promise<bigint> {
  if (root === EMPTY) return 0n
  let left = pages
  let found = 0n
  const waiting = [root]
  for (let page = waiting.pop(); page !== undefined; page = waiting.pop()) {
    left -= 1n
    if (left < 0n) throw new Error('the list of free pages has a circle')
    const bytes = await readAt(file, page * BigInt(pageBytes), pageBytes)
    const flags = bytes.readUInt16LE(18)
    if ((flags & (BRANCH | LEAF)) === 0) throw new Error(`page ${page} is none of the list`)
    const isBranch = (flags & BRANCH) !== 0
    for (let index = 0; index < bytes.readUInt16LE(20) >> 1; index += 1) {
      const node = bytes.readUInt16LE(HEADER_BYTES + 2 * index) + HEADER_BYTES
      const low = bytes.readUInt32LE(node)
      const nodeFlags = bytes.readUInt16LE(node + 4)
      if (isBranch) {
        waiting.push(BigInt(low) | (BigInt(nodeFlags) << 32n))
        continue
      }
      const value = node + NODE_BYTES + bytes.readUInt16LE(node + 6)
      found += (nodeFlags & LARGE) === 0
        ? listed(bytes.subarray(value, value + low), first, last)
        : listed(await largeValue(file, bytes.readBigUInt64LE(value), low, pageBytes), first, last)
    }
  }
  return found
}

async function largeValue(
  file: FileHandle,
  page: bigint,
  length: number,
  pageBytes: number,
): Promise<Buffer> {
  if (length > VALUE_BYTES_MAX) throw new Error(`a value of the list has ${length} bytes`)
  return await readAt(file, page * BigInt(pageBytes) + BigInt(HEADER_BYTES), length)
}

/** A value: the number of words that follow; each a page, or -n and then the first of n pages. */
function listed(value: Buffer, first: bigint, last: bigint): bigint {
  const words = Number(value.readBigInt64LE(0))
  let found = 0n
  for (let index = 1; index <= words; index += 1) {
    const word = value.readBigInt64LE(8 * index)
    if (word === 0n) continue
    if (word < 0n) index += 1
    const from = word < 0n ? value.readBigInt64LE(8 * index) : word
    const to = word < 0n ? from - word - 1n : from
    const common = (to < last ? to : last) - (from > first ? from : first) + 1n
    if (common > 0n) found += common
  }
  return found
}

/** Rejects at the end of the file. */
async function readAt(file: FileHandle, offset: bigint, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await file.read({ buffer: bytes, position: Number(offset) })
  if (bytesRead < length) throw new Error(`the file ends within ${offset} + ${length}`)
  return bytes
}
