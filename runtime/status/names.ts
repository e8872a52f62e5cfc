const collator = new Intl.Collator('en', { numeric: true })

/** Order of names for people: n2 before n10. */
export function byName(a: string, b: string): number {
  return collator.compare(a, b)
}
