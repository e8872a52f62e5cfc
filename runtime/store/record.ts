/**
 * Nodes and edges as canonical bytes: equal values give equal bytes, whatever encoding or key
 * order a client used, so that the digests of two members can be compared.
 *
 *   hash (8, xxhash64 of the rest) | domain | id (length, UTF-8) … | flags | numbers | versions | …
 *
 * The hash is kept in the record: replacing takes the old one out of the digest without hashing
 * again. Activation sits at a fixed place after the id, so that an update patches it. Versions are
 * hashed too: members with different versions of a thing will differ in its contents.
 */
import { xxh64 } from '@node-rs/xxhash'
import type { EdgeState, NodeState } from '../../actors/ports/store.js'
import type { Json, MemoryEdge, MemoryNode } from '../../machines/graph/graph.js'
import type { Version } from '../../machines/log/forkNotes.js'
import { Slab } from './slab.js'
import { writeText } from './text.js'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** First hashed byte: a node's record never equals an edge's. */
const NODE_DOMAIN = 0x4e
const EDGE_DOMAIN = 0x45

const HAS_CONTENT = 1
const HAS_ACTIVATION = 2
const HAS_CONFIDENCE = 4
const HAS_EMBEDDING = 8
const HAS_METADATA = 16
/** The version of the activation follows that of the rest. */
const HAS_ACTIVATED = 32
/** For a write that was logged elsewhere first: its version ends with its entry in this log. */
const STORED_APART = 64
const ACTIVATED_APART = 128
const HAS_WEIGHT = 1
const EDGE_APART = 2

const HASH_BYTES = 8
const LENGTH_BYTES = 2
const DOUBLE_BYTES = 8
/** Epoch, sequence, timestamp; then `at`, if it differs from `sequence`. */
const VERSION_BYTES = 3 * DOUBLE_BYTES
/** From a node's flags to its first version: flags, activation, confidence. */
const NUMBERS_BYTES = 1 + 2 * DOUBLE_BYTES
/** A string of n UTF-16 units has at most 3n bytes. */
const UTF8_FACTOR = 3

/**
 * The node's record, in the slab. `activated`: version of its activation, if set separately. -0
 * becomes 0; numbers are doubles; metadata is JSON with sorted keys (RFC 8785), whose number format
 * is fixed by ECMAScript.
 */
export function encodeNode(
  slab: Slab,
  node: MemoryNode,
  stored: Version,
  activated: Version | undefined,
): Buffer {
  const { id, content, activation, confidence, embedding } = node
  const metadata = node.metadata === undefined ? '' : canonicalJson(node.metadata)
  const limit = 128 + (id.length + (content?.length ?? 0) + metadata.length) * UTF8_FACTOR
    + (embedding?.length ?? 0) * DOUBLE_BYTES
  const start = slab.reserve(limit)
  const bytes = slab.bytes
  bytes[start + HASH_BYTES] = NODE_DOMAIN
  let at = writeString(bytes, id, start + HASH_BYTES + 1)
  bytes[at] = flagsOf(node) | (isApart(stored) ? STORED_APART : 0)
    | (activated === undefined ? 0 : activatedFlags(activated))
  at = bytes.writeDoubleLE((activation ?? 0) + 0, at + 1)
  at = bytes.writeDoubleLE((confidence ?? 0) + 0, at)
  at = writeVersion(slab, stored, at)
  if (activated !== undefined) at = writeVersion(slab, activated, at)
  if (content !== undefined) {
    const length = bytes.write(content, at + 4)
    bytes.writeUInt32LE(length, at)
    at += 4 + length
  }
  if (embedding !== undefined) {
    at = bytes.writeUInt16LE(embedding.length, at)
    for (let index = 0; index < embedding.length; index += 1) {
      at = bytes.writeDoubleLE(embedding[index]! + 0, at)
    }
  }
  if (metadata !== '') at += bytes.write(metadata, at)
  return seal(slab, start, at)
}

function activatedFlags(activated: Version): number {
  return HAS_ACTIVATED | (isApart(activated) ? ACTIVATED_APART : 0)
}

function flagsOf(node: MemoryNode): number {
  return (node.content === undefined ? 0 : HAS_CONTENT)
    | (node.activation === undefined ? 0 : HAS_ACTIVATION)
    | (node.confidence === undefined ? 0 : HAS_CONFIDENCE)
    | (node.embedding === undefined ? 0 : HAS_EMBEDDING)
    | (node.metadata === undefined ? 0 : HAS_METADATA)
}

/** A copy of a node's record with another activation, set by `activated`. */
export function withActivation(
  slab: Slab,
  record: Buffer,
  activation: number,
  activated: Version,
): Buffer {
  const flagsInRecord = stringEnd(record, HASH_BYTES + 1)
  const flags = record[flagsInRecord]!
  const versionInRecord = flagsInRecord + NUMBERS_BYTES + storedBytes(flags)
  const restInRecord = versionInRecord + activatedBytes(flags)
  const start = slab.reserve(record.length + VERSION_BYTES + DOUBLE_BYTES)
  slab.bytes.set(record, start)
  const flagsAt = start + flagsInRecord
  slab.bytes[flagsAt] = (flags & ~ACTIVATED_APART) | HAS_ACTIVATION | activatedFlags(activated)
  slab.bytes.writeDoubleLE(activation + 0, flagsAt + 1)
  const rest = writeVersion(slab, activated, start + versionInRecord)
  if (rest - start !== restInRecord) {
    slab.bytes.set(record.subarray(restInRecord, record.length), rest)
  }
  return seal(slab, start, rest + record.length - restInRecord)
}

export function decodeNode(record: Buffer): MemoryNode {
  let at = stringEnd(record, HASH_BYTES + 1)
  const node: Mutable<MemoryNode> = {
    id: record.toString('utf8', HASH_BYTES + 1 + LENGTH_BYTES, at),
  }
  const flags = record[at]!
  const activation = record.readDoubleLE(at + 1)
  const confidence = record.readDoubleLE(at + 1 + DOUBLE_BYTES)
  at += NUMBERS_BYTES + storedBytes(flags) + activatedBytes(flags)
  if (flags & HAS_CONTENT) {
    const end = at + 4 + record.readUInt32LE(at)
    node.content = record.toString('utf8', at + 4, end)
    at = end
  }
  if (flags & HAS_ACTIVATION) node.activation = activation
  if (flags & HAS_CONFIDENCE) node.confidence = confidence
  if (flags & HAS_EMBEDDING) {
    const count = record.readUInt16LE(at)
    at += LENGTH_BYTES
    const embedding: number[] = []
    for (let index = 0; index < count; index += 1, at += DOUBLE_BYTES) {
      embedding.push(record.readDoubleLE(at))
    }
    node.embedding = embedding
  }
  if (flags & HAS_METADATA) {
    const metadata = record.toString('utf8', at, record.length)
    node.metadata = JSON.parse(metadata) as { [key: string]: Json }
  }
  return node
}

/** The node with the versions that made it. */
export function decodeNodeState(record: Buffer): NodeState {
  const flagsAt = stringEnd(record, HASH_BYTES + 1)
  const flags = record[flagsAt]!
  const at = flagsAt + NUMBERS_BYTES
  return {
    node: decodeNode(record),
    stored: readVersion(record, at, (flags & STORED_APART) !== 0),
    activated: flags & HAS_ACTIVATED
      ? readVersion(record, at + storedBytes(flags), (flags & ACTIVATED_APART) !== 0)
      : undefined,
  }
}

/** The node as it comes back from its record, whatever encoding a client used. */
export function canonicalNode(node: MemoryNode): MemoryNode {
  return decodeNode(encodeNode(new Slab(1024), node, noVersion, undefined))
}

export function encodeEdge(slab: Slab, edge: MemoryEdge, version: Version): Buffer {
  const { source, target, kind, weight } = edge
  const start = slab.reserve(64 + (source.length + target.length + kind.length) * UTF8_FACTOR)
  const bytes = slab.bytes
  bytes[start + HASH_BYTES] = EDGE_DOMAIN
  let at = writeString(bytes, source, start + HASH_BYTES + 1)
  at = writeString(bytes, target, at)
  at = writeString(bytes, kind, at)
  bytes[at] = (weight === undefined ? 0 : HAS_WEIGHT) | (isApart(version) ? EDGE_APART : 0)
  at = bytes.writeDoubleLE((weight ?? 0) + 0, at + 1)
  return seal(slab, start, writeVersion(slab, version, at))
}

export function decodeEdge(record: Buffer): MemoryEdge {
  const sourceEnd = stringEnd(record, HASH_BYTES + 1)
  const targetEnd = stringEnd(record, sourceEnd)
  const kindEnd = stringEnd(record, targetEnd)
  const edge: Mutable<MemoryEdge> = {
    source: record.toString('utf8', HASH_BYTES + 1 + LENGTH_BYTES, sourceEnd),
    target: record.toString('utf8', sourceEnd + LENGTH_BYTES, targetEnd),
    kind: record.toString('utf8', targetEnd + LENGTH_BYTES, kindEnd),
  }
  if (record[kindEnd]! & HAS_WEIGHT) edge.weight = record.readDoubleLE(kindEnd + 1)
  return edge
}

/** The edge with the version that made it. */
export function decodeEdgeState(record: Buffer): EdgeState {
  let flagsAt = HASH_BYTES + 1
  for (let text = 0; text < 3; text += 1) flagsAt = stringEnd(record, flagsAt)
  const isApartHere = (record[flagsAt]! & EDGE_APART) !== 0
  const version = readVersion(record, flagsAt + 1 + DOUBLE_BYTES, isApartHere)
  return { edge: decodeEdge(record), version }
}

/** The edge as it comes back from its record. */
export function canonicalEdge(edge: MemoryEdge): MemoryEdge {
  return decodeEdge(encodeEdge(new Slab(1024), edge, noVersion))
}

/** Contribution of this record to the digest. Sums of many are cheaper with HashSum. */
export function hashOf(record: Buffer): bigint {
  return record.readBigUInt64LE(0)
}

/** The digest as text: 16 hex digits of a sum modulo 2^64, independent of the order of records. */
export function digestText(sum: bigint): string {
  return BigInt.asUintN(64, sum).toString(16).padStart(16, '0')
}

/** JSON with object keys sorted by UTF-16 units and no white space: RFC 8785. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const object = value as { readonly [key: string]: Json }
  const keys = Object.keys(object)
  if (isFlatAndSorted(object, keys)) return JSON.stringify(object)
  if (keys.length > 1) keys.sort(byUnits)
  let text = '{'
  for (let index = 0; index < keys.length; index += 1) {
    const key = keys[index]!
    text += `${index === 0 ? '' : ','}${JSON.stringify(key)}:${canonicalJson(object[key]!)}`
  }
  return `${text}}`
}

/** Plain JSON is canonical then: it keeps the order of the keys, and has no white space. */
function isFlatAndSorted(
  object: { readonly [key: string]: Json },
  keys: readonly string[],
): boolean {
  for (let index = 0; index < keys.length; index += 1) {
    if (typeof object[keys[index]!] === 'object') return false
    if (index > 0 && keys[index - 1]! > keys[index]!) return false
  }
  return true
}

function byUnits(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

const noVersion: Version = { epoch: 0, sequence: 0, timestamp: 0, at: 0 }

function isApart({ at, sequence }: Version): boolean {
  return at !== sequence
}

function storedBytes(flags: number): number {
  return flags & STORED_APART ? VERSION_BYTES + DOUBLE_BYTES : VERSION_BYTES
}

function activatedBytes(flags: number): number {
  if (!(flags & HAS_ACTIVATED)) return 0
  return flags & ACTIVATED_APART ? VERSION_BYTES + DOUBLE_BYTES : VERSION_BYTES
}

function writeVersion({ view }: Slab, version: Version, at: number): number {
  view.setFloat64(at, version.epoch, true)
  view.setFloat64(at + DOUBLE_BYTES, version.sequence, true)
  view.setFloat64(at + 2 * DOUBLE_BYTES, version.timestamp, true)
  if (!isApart(version)) return at + VERSION_BYTES
  view.setFloat64(at + VERSION_BYTES, version.at, true)
  return at + VERSION_BYTES + DOUBLE_BYTES
}

function readVersion(record: Buffer, at: number, isApartHere: boolean): Version {
  const sequence = record.readDoubleLE(at + DOUBLE_BYTES)
  return {
    epoch: record.readDoubleLE(at),
    sequence,
    timestamp: record.readDoubleLE(at + 2 * DOUBLE_BYTES),
    at: isApartHere ? record.readDoubleLE(at + VERSION_BYTES) : sequence,
  }
}

function writeString(bytes: Buffer, text: string, at: number): number {
  const end = writeText(bytes, text, at + LENGTH_BYTES)
  bytes.writeUInt16LE(end - at - LENGTH_BYTES, at)
  return end
}

function stringEnd(record: Buffer, at: number): number {
  return at + LENGTH_BYTES + record.readUInt16LE(at)
}

function seal(slab: Slab, start: number, end: number): Buffer {
  const hashed = start + HASH_BYTES
  const hash = xxh64(new Uint8Array(slab.bytes.buffer, hashed, end - hashed))
  slab.view.setBigUint64(start, hash, true)
  return slab.take(start, end)
}
