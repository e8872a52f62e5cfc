import { reportText, waitText } from '../../../status/forks.js'
import type { ClusterSpace } from '../../../status/status.js'
import { countText } from '../../model/words.js'

/** Spaces shown at most. */
const spacesMax = 16

/** Open fork reports and quarantined writes. Nothing if there are none. */
export function Forks({ spaces }: { readonly spaces: readonly ClusterSpace[] }) {
  const some = spaces.filter(({ forks }) => forks && (forks.open > 0 || forks.quarantined > 0))
  if (some.length === 0) return null
  return (
    <section class="spaces forks" aria-labelledby="forks-title">
      <h2 id="forks-title">Forks</h2>
      <ul>
        {some.slice(0, spacesMax).map((space) => <SpaceForks key={space.id} space={space} />)}
      </ul>
      {some.length > spacesMax && <p class="facts">and {some.length - spacesMax} more spaces</p>}
    </section>
  )
}

function SpaceForks({ space }: { readonly space: ClusterSpace }) {
  const { open = 0, quarantined = 0 } = space.forks ?? {}
  const reports = space.openReports ?? []
  return (
    <li data-forks={space.id}>
      <h3 class="name">{space.id}</h3>
      {reports.length > 0 && (
        <ul class="reports" aria-label={`Open fork reports of ${space.id}`}>
          {reports.map((report) => (
            <li key={report.epoch} data-fork-report={report.epoch}>
              <p>{reportText(report)}</p>
              <p class="facts">{sentence(waitText(report, space))}</p>
            </li>
          ))}
        </ul>
      )}
      {open > reports.length && (
        <p class="facts">
          {countText(open - reports.length)} earlier reports: engram forks {space.id}
        </p>
      )}
      {quarantined > 0 && (
        <p data-quarantined={quarantined}>
          {countText(quarantined)} {quarantined === 1 ? 'write' : 'writes'} in quarantine:{' '}
          <span class="facts">engram quarantine list {space.id}</span>
        </p>
      )}
    </li>
  )
}

/** Adds a full stop, except to a command, which would seem to end with it. */
function sentence(text: string): string {
  return text.includes('engram ') ? text : `${text}.`
}
