/** A list with one chosen option, by mouse or arrow keys (the ARIA list box pattern). */
import { useEffect, useRef } from 'preact/hooks'

export interface ListOption {
  readonly id: string
  readonly text: string
  readonly note?: string
  readonly isWeak?: boolean
  readonly mark?: string
}

interface ListBoxProps {
  readonly label: string
  readonly options: readonly ListOption[]
  readonly chosen: string | null
  readonly onChoose: (id: string) => void
}

export function ListBox({ label, options, chosen, onChoose }: ListBoxProps) {
  const list = useRef<HTMLUListElement>(null)
  const index = options.findIndex(({ id }) => id === chosen)
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' })
  }, [chosen])
  const onKey = (event: KeyboardEvent): void => {
    const moves: Record<string, number> = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      Home: 0,
      End: options.length - 1,
    }
    const next = options[moves[event.key] ?? -1]
    if (next === undefined) return
    event.preventDefault()
    onChoose(next.id)
  }
  const idOf = (id: string): string => `${label}-${id}`.replaceAll(/\s/g, '-')
  return (
    <ul class="list" role="listbox" tabIndex={0} ref={list} aria-label={label} onKeyDown={onKey}
      aria-activedescendant={index === -1 ? undefined : idOf(chosen ?? '')}
    >
      {options.map(({ id, text, note, isWeak, mark }) => (
        <li key={id} id={idOf(id)} role="option" aria-selected={id === chosen} data-option={id}
          class={`${isWeak ? 'weak' : ''} ${mark ?? ''}`} onClick={() => onChoose(id)}
        >
          <span>{text}</span>
          {note !== undefined && <small>{note}</small>}
        </li>
      ))}
    </ul>
  )
}
