/**
 * Compares strings by their UTF-8 bytes, which is by code point. JavaScript's own order is by
 * UTF-16 unit and differs for surrogates: U+FF5E (one unit, FF5E) comes before U+1F600 (D83D
 * DE00).
 */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index += 1) {
    const unitA = a.charCodeAt(index)
    const unitB = b.charCodeAt(index)
    if (unitA !== unitB) return rank(unitA) - rank(unitB)
  }
  return a.length - b.length
}

/** Ranks surrogates, which encode code points above all others, last. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}
