/**
 * Checks MessagePack before it is decoded. The decoder allocates what a header announces, so 256
 * KiB of nested array headers would make it take gigabytes. Here every length has to fit into the
 * bytes that are left, and nesting is bounded.
 * Source: the MessagePack specification, "Formats".
 */
const depthDefault = 8

/** @returns why the bytes are not exactly one well-formed value, or null */
export function structureFault(bytes: Uint8Array, depthMax = depthDefault): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const remaining: number[] = [1]
  let at = 0
  while (remaining.length > 0) {
    const top = remaining.length - 1
    if (remaining[top] === 0) {
      remaining.pop()
      continue
    }
    remaining[top]! -= 1
    const head = bytes[at]
    if (head === undefined) return 'it is cut short'
    const size = lengthOfHead(head)
    if (size < 0) return `byte ${at} begins a value of a type that is not used`
    if (at + 1 + size > bytes.length) return 'it is cut short'
    const { body, items } = contents(head, view, at + 1)
    at += 1 + size + body
    if (at + items > bytes.length) return 'it is cut short'
    if (items > 0 && remaining.push(items) > depthMax) return `it is nested over ${depthMax} deep`
  }
  return at === bytes.length ? null : 'bytes follow its end'
}

/**
 * Whether the message is a map that begins with `kind: 'slice'`. A few bytes decide, so that bounds
 * can be chosen before anything else is read.
 */
export function isSliceAhead(bytes: Uint8Array): boolean {
  const head = bytes[0] ?? 0
  if (head <= 0x80 || head >= 0x90) return false
  for (let index = 0; index < sliceAhead.length; index += 1) {
    if (bytes[index + 1] !== sliceAhead[index]) return false
  }
  return true
}

/** In MessagePack: strings of four and of five bytes. */
const sliceAhead = Uint8Array.of(
  0xa4,
  0x6b,
  0x69,
  0x6e,
  0x64,
  0xa5,
  0x73,
  0x6c,
  0x69,
  0x63,
  0x65,
)

/** Bytes after the head byte that hold a length or a number; -1: binary, extensions, reserved. */
function lengthOfHead(head: number): number {
  if (head < 0xc0 || head >= 0xe0) return 0
  switch (head) {
    case 0xc0:
    case 0xc2:
    case 0xc3:
      return 0
    case 0xcc:
    case 0xd0:
    case 0xd9:
      return 1
    case 0xcd:
    case 0xd1:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 2
    case 0xca:
    case 0xce:
    case 0xd2:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return 4
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 8
    default:
      return -1
  }
}

/** Bytes of a string's text; number of values within an array or map. */
function contents(head: number, view: DataView, at: number): { body: number; items: number } {
  if (head >= 0x80 && head < 0x90) return { body: 0, items: 2 * (head & 0x0f) }
  if (head >= 0x90 && head < 0xa0) return { body: 0, items: head & 0x0f }
  if (head >= 0xa0 && head < 0xc0) return { body: head & 0x1f, items: 0 }
  switch (head) {
    case 0xd9:
      return { body: view.getUint8(at), items: 0 }
    case 0xda:
      return { body: view.getUint16(at), items: 0 }
    case 0xdb:
      return { body: view.getUint32(at), items: 0 }
    case 0xdc:
      return { body: 0, items: view.getUint16(at) }
    case 0xdd:
      return { body: 0, items: view.getUint32(at) }
    case 0xde:
      return { body: 0, items: 2 * view.getUint16(at) }
    case 0xdf:
      return { body: 0, items: 2 * view.getUint32(at) }
    default:
      return { body: 0, items: 0 }
  }
}
