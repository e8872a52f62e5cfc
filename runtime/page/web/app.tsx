import { useEffect } from 'preact/hooks'
import { Announcements } from './announcements.js'
import { Footer } from './footer.js'
import { Header } from './header.js'
import { Notices } from './notices.js'
import { route, titles } from './route.js'
import { ChartsView } from './views/charts.js'
import { ClusterView } from './views/cluster.js'
import { FlowView } from './views/flow.js'
import { SequenceView } from './views/sequence.js'
import { TimelineView } from './views/timeline.js'
import { TryView } from './views/try.js'

const shown = {
  cluster: ClusterView,
  charts: ChartsView,
  sequence: SequenceView,
  timeline: TimelineView,
  flow: FlowView,
  try: TryView,
} as const

export function App() {
  const { view } = route.value
  const View = shown[view]
  useEffect(() => {
    document.title = `${titles[view]} · Engram replication`
    // On a narrow screen the tabs scroll.
    document.getElementById(`tab-${view}`)?.scrollIntoView({ inline: 'nearest', block: 'nearest' })
  }, [view])
  return (
    <>
      <Header />
      <Notices />
      <main>
        <div id="view" class="view" role="tabpanel" tabIndex={-1} aria-labelledby={`tab-${view}`}>
          <View />
        </div>
      </main>
      <Footer />
      <Announcements />
    </>
  )
}
