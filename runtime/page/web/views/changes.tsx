import { changeText } from '../../../status/memberChange.js'
import type { ClusterSpace } from '../../../status/status.js'

/** Spaces shown at most. */
const spacesMax = 16

/** Changes of members that are under way, and what they wait for. Nothing if there are none. */
export function Changes({ spaces }: { readonly spaces: readonly ClusterSpace[] }) {
  const some = spaces.flatMap(({ id, change }) => change ? [{ id, change }] : [])
  if (some.length === 0) return null
  return (
    <section class="spaces forks" aria-labelledby="changes-title">
      <h2 id="changes-title">Changes of members</h2>
      <ul>
        {some.slice(0, spacesMax).map(({ id, change }) => (
          <li key={id} data-change={id}>
            <h3 class="name">{id}</h3>
            <p>{changeText(change)}.</p>
          </li>
        ))}
      </ul>
      {some.length > spacesMax && <p class="facts">and {some.length - spacesMax} more spaces</p>}
    </section>
  )
}
