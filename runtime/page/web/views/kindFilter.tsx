/** Checkboxes for kinds of things, each with the dot of its colour. */
interface KindFilterProps<Kind extends string> {
  readonly kinds: readonly Kind[]
  readonly names: Readonly<Record<Kind, string>>
  readonly isShown: (kind: Kind) => boolean
  readonly onToggle: (kind: Kind) => void
}

export function KindFilter<Kind extends string>(
  { kinds, names, isShown, onToggle }: KindFilterProps<Kind>,
) {
  return (
    <fieldset>
      <legend class="sr">Shown</legend>
      {kinds.map((kind) => (
        <label key={kind} class="check">
          <input type="checkbox" checked={isShown(kind)} onChange={() => onToggle(kind)} />
          <i class={`dot ${kind}`} aria-hidden="true" />
          {names[kind]}
        </label>
      ))}
    </fieldset>
  )
}

/** The set with the kind, or without it if it was there. */
export function toggled(kinds: ReadonlySet<string>, kind: string): Set<string> {
  const next = new Set(kinds)
  if (!next.delete(kind)) next.add(kind)
  return next
}
