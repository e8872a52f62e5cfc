/**
 * Places in the store where an idempotency key may be, by a hash of 32 bits: a key that is found
 * has still to be compared, and a key that is not found is not there. 16 to 24 bytes of memory per
 * key.
 *
 * Keys are forgotten in the order of arrival, so the index is a row of tables: the last one is
 * written to, the first is dropped as a whole once all of it is forgotten. Nothing is ever moved,
 * which would hold up the loop for a million keys.
 */

/** Keys of the smallest table: most of many spaces have few. */
const TABLE_KEYS_MIN = 8
/** Up to so many keys each table has room for as many as all before it; then for half of them. */
const DOUBLING_KEYS_MAX = 512

interface HashTable {
  /** Alternating hash and number of the group; group 0: a free place. */
  readonly slots: Uint32Array
  readonly mask: number
  readonly keysMax: number
  /** Group n + 1 of `slots` is at n. */
  readonly groups: number[]
  count: number
  /** Sequence of its latest key. */
  lastSequence: number
}

export class KeyIndex {
  private tables: HashTable[] = []
  private total = 0
  private slotBytes = 0
  private expected = 0

  /** Memory, bytes. */
  get bytes(): number {
    let groups = 0
    for (const table of this.tables) groups += table.groups.length
    return this.slotBytes + 8 * groups
  }

  /** Announces the number of keys that follow. */
  expect(keys: number): void {
    this.expected = keys
  }

  /** `group`, `sequence`: not below those of the calls before. */
  add(hash: number, group: number, sequence: number): void {
    let table = this.tables.at(-1)
    if (table === undefined || table.count >= table.keysMax) {
      const share = this.total < DOUBLING_KEYS_MAX ? this.total : this.total >>> 1
      table = newTable(Math.max(TABLE_KEYS_MIN, this.expected, share))
      this.expected = 0
      this.tables.push(table)
      this.slotBytes += table.slots.byteLength
    }
    const { slots, mask, groups } = table
    if (groups[groups.length - 1] !== group) groups.push(group)
    let place = hash & mask
    while (slots[2 * place + 1] !== 0) place = (place + 1) & mask
    slots[2 * place] = hash
    slots[2 * place + 1] = groups.length
    table.count += 1
    table.lastSequence = sequence
    this.total += 1
  }

  /** Groups that may hold the key, the latest first. */
  candidates(hash: number): number[] {
    let found: number[] | undefined
    for (let at = this.tables.length - 1; at >= 0; at -= 1) {
      const { slots, mask, groups } = this.tables[at]!
      for (let place = hash & mask; slots[2 * place + 1] !== 0; place = (place + 1) & mask) {
        if (slots[2 * place] === hash) (found ??= []).push(groups[slots[2 * place + 1]! - 1]!)
      }
    }
    return found === undefined ? none : found.toSorted((a, b) => b - a)
  }

  /** Keys below `sequence` need not be found any more. */
  forgetBelow(sequence: number): void {
    while (this.tables.length > 0 && this.tables[0]!.lastSequence < sequence) {
      const { count, slots } = this.tables.shift()!
      this.total -= count
      this.slotBytes -= slots.byteLength
    }
  }
}

const none: number[] = []

function newTable(keys: number): HashTable {
  // At most half full, or chains of taken places grow long.
  const places = 2 ** Math.ceil(Math.log2(2 * keys))
  return {
    slots: new Uint32Array(2 * places),
    mask: places - 1,
    keysMax: places / 2,
    groups: [],
    count: 0,
    lastSequence: 0,
  }
}

/** Random for each process, so that nobody can choose keys that all have one hash. */
const seed = Math.floor(Math.random() * 2 ** 32)

/** MurmurHash3, 32 bits, with the last bytes taken one by one. */
export function hashOfKey(bytes: Uint8Array, start: number, end: number): number {
  let hash = seed
  let at = start
  for (; at + 4 <= end; at += 4) {
    const word = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24
    hash = mixed(hash, word)
  }
  for (; at < end; at += 1) hash = mixed(hash, bytes[at]!)
  hash ^= end - start
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function mixed(hash: number, word: number): number {
  const once = Math.imul(word, 0xcc9e2d51)
  const sum = hash ^ Math.imul(once << 15 | once >>> 17, 0x1b873593)
  return Math.imul(sum << 13 | sum >>> 19, 5) + 0xe6546b64 | 0
}
