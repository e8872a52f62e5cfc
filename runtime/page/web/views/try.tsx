import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Order, OrderAnswer } from '../../protocol.js'
import { give } from '../orders.js'
import { hrefOf } from '../route.js'
import { at, fileName, playground, seek, state } from '../store.js'

export function TryView() {
  if (fileName.value !== null) {
    return <p class="empty">This is a recording: nothing can be tried on it.</p>
  }
  if (!playground.value) {
    return (
      <div class="empty" data-hint="playground">
        <p>This page only looks. To write, kill and hand over from here,
          start a cluster of your own:</p>
        <pre><code>npx engram up --playground</code></pre>
        <p><code>npm start</code> does so on 127.0.0.1.</p>
      </div>
    )
  }
  return (
    <div class="try">
      {at.value !== null && (
        <p class="notice">You look at a moment of the past; orders go to the cluster as it is
          now. <button type="button" onClick={() => seek(null)}>Look at now</button></p>
      )}
      <div class="cards">
        <Write /><Steady /><Kill /><Pause /><HandOver /><KillActor />
      </div>
      <p class="muted">See what comes of it: <a href={hrefOf('cluster')}>cluster</a>,{' '}
        <a href={hrefOf('timeline')}>timeline</a>, <a href={hrefOf('flow')}>lag and flow</a>.</p>
    </div>
  )
}

interface CardProps {
  readonly name: string
  readonly title: string
  readonly about: string
  readonly action: string
  readonly isGrave?: boolean
  readonly order: () => Order
  readonly children?: ComponentChildren
}

function Card({ name, title, about, action, isGrave, order, children }: CardProps) {
  const [answer, setAnswer] = useState<OrderAnswer | null>(null)
  const [isWaiting, setWaiting] = useState(false)
  return (
    <form class="card" data-order={name} onSubmit={(event) => {
      event.preventDefault()
      setWaiting(true)
      void give(order()).then((result) => {
        setAnswer(result)
        setWaiting(false)
      })
    }}>
      <h2>{title}</h2>
      <p class="muted">{about}</p>
      <div class="fields">{children}</div>
      <button type="submit" class={isGrave ? 'grave' : 'main'} disabled={isWaiting}>
        {isWaiting ? 'Waiting…' : action}</button>
      <p class={`answer ${answer?.ok === false ? 'bad-text' : ''}`}
        role="status">{answer?.message ?? ''}</p>
    </form>
  )
}

interface ChooseProps {
  readonly label: string
  readonly value: string
  readonly options: readonly string[]
  readonly names?: Readonly<Record<string, string>>
  readonly onChoose: (value: string) => void
}

function Choose({ label, value, options, names, onChoose }: ChooseProps) {
  return (
    <label>{label}{' '}
      <select value={value} onChange={(event) => onChoose(event.currentTarget.value)}>
        {options.map((one) => <option key={one} value={one}>{names?.[one] ?? one}</option>)}
      </select></label>
  )
}

function useSpace() {
  const ids = state.value.status?.spaces.map(({ id }) => id) ?? []
  const [chosen, setChosen] = useState<string | null>(null)
  const space = chosen ?? ids[0] ?? ''
  const field = <Choose label="Space" value={space} options={ids} onChoose={setChosen} />
  return [space, field] as const
}

/** Nodes, and of each the spaces that it reigns over. */
function useNode(preferred: string | null) {
  const { status } = state.value
  const ids = status?.nodes.map(({ id }) => id) ?? []
  const [chosen, setChosen] = useState<string | null>(null)
  const node = chosen ?? preferred ?? ids[0] ?? ''
  const names = Object.fromEntries(status?.nodes.map(({ id, state: of }) => {
    const reigns = status.spaces.filter((space) => space.primary === id).map((space) => space.id)
    const role = reigns.length > 0 ? `primary of ${reigns.slice(0, 3).join(', ')}` : of
    return [id, `${id}, ${role}`]
  }) ?? [])
  const field = <Choose label="Node" value={node} options={ids} names={names}
    onChoose={setChosen} />
  return [node, field] as const
}

function primaryNow(): string | null {
  return state.value.status?.spaces[0]?.primary ?? null
}

function Write() {
  const [space, field] = useSpace()
  const [id, setId] = useState('hello')
  const [content, setContent] = useState('a memory')
  return (
    <Card name="write" title="Write a memory" action="Write"
      about="One write; the answer comes when it is durable at the primary."
      order={() => ({ type: 'write', space, id, content })}>
      {field}
      <label>Id <input required maxLength={256} value={id}
        onInput={(event) => setId(event.currentTarget.value)} /></label>
      <label>Content <input maxLength={2000} value={content}
        onInput={(event) => setContent(event.currentTarget.value)} /></label>
    </Card>
  )
}

function Steady() {
  const [space, field] = useSpace()
  const [perSecond, setPerSecond] = useState(100)
  return (
    <Card name="steady" title="Write steadily" action={perSecond === 0 ? 'Stop' : 'Write'}
      about="A writer that goes on until it is set to 0."
      order={() => ({ type: 'steady', space, perSecond })}>
      {field}
      <label>Per second <input type="number" min={0} max={1000} value={perSecond}
        onInput={(event) => setPerSecond(Number(event.currentTarget.value))} /></label>
    </Card>
  )
}

function Kill() {
  const [node, field] = useNode(primaryNow())
  const isDown = state.value.status?.nodes.find(({ id }) => id === node)?.pid === null
  return (
    <Card name="node" title={isDown ? 'Start a node' : 'Kill a node'} isGrave={!isDown}
      action={isDown ? `Start ${node}` : `Kill ${node}`}
      about={isDown ? 'It joins again, and gives up into a salvage what nobody else has.'
        : 'SIGKILL: it is gone at once, and stays down until it is started again.'}
      order={() => ({ type: isDown ? 'startNode' : 'killNode', node })}>{field}</Card>
  )
}

function Pause() {
  const [node, field] = useNode(primaryNow())
  const [seconds, setSeconds] = useState(4)
  return (
    <Card name="pauseNode" title="Pause a node" isGrave action={`Pause ${node}`}
      about="SIGSTOP. Silence proves nothing, so its grant has to run out first (2.2 s)."
      order={() => ({ type: 'pauseNode', node, forMs: seconds * 1_000 })}>
      {field}
      <label>Seconds <input type="number" min={1} max={60} value={seconds}
        onInput={(event) => setSeconds(Number(event.currentTarget.value))} /></label>
    </Card>
  )
}

function HandOver() {
  const [space, field] = useSpace()
  const known = state.value.status?.spaces.find(({ id }) => id === space)
  const members = (known?.members ?? []).map(({ node }) => node)
    .filter((node) => node !== known?.primary)
  const [to, setTo] = useState('')
  return (
    <Card name="handOver" title="Hand over" action="Hand over"
      about="A planned change of primary: no write is lost or refused."
      order={() => ({ type: 'handOver', space, to: to === '' ? null : to })}>
      {field}
      <Choose label="To" value={to} options={['', ...members]}
        names={{ '': 'the most advanced' }} onChoose={setTo} />
    </Card>
  )
}

function KillActor() {
  const [node, field] = useNode(primaryNow())
  const actors = [...state.value.nodes.get(node)?.actors.values() ?? []]
    .filter(({ exit, actor, state: value }) => exit === null && value !== null
      && !actor.includes('/'))
    .map(({ actor }) => actor).toSorted()
  const [chosen, setChosen] = useState('')
  const first = actors.find((one) => one.endsWith('.primary')) ?? actors[0] ?? ''
  const actor = actors.includes(chosen) ? chosen : first
  return (
    <Card name="killActor" title="Kill an actor" isGrave action="Kill actor"
      about="It is stopped without a word; its supervisor has to notice."
      order={() => ({ type: 'killActor', node, actor })}>
      {field}
      <Choose label="Actor" value={actor} options={actors} onChoose={setChosen} />
    </Card>
  )
}
