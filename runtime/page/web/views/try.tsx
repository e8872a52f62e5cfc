import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { ClusterNode, ClusterSpace } from '../../../status/status.js'
import { absenceOf } from '../../model/presence.js'
import type { CommandAnswer, PageCommand } from '../../protocol.js'
import { sendCommand } from '../commands.js'
import { hrefOf } from '../route.js'
import { at, fileName, playground, seek, state } from '../store.js'

export function TryView() {
  if (fileName.value !== null) {
    return <p class="empty">This is a recording, which takes no commands.</p>
  }
  if (!playground.value) {
    return (
      <div class="empty" data-hint="playground">
        <p>
          This page is read-only. To write, kill nodes and hand over from here, start your own
          cluster:
        </p>
        <pre><code>npx engram up --playground</code></pre>
        <p>
          <code>npm start</code> does so on 127.0.0.1.
        </p>
      </div>
    )
  }
  return (
    <div class="try">
      {at.value !== null && (
        <p class="notice">
          The page shows a past moment. Commands go to the present cluster.{' '}
          <button type="button" onClick={() => seek(null)}>Show the present</button>
        </p>
      )}
      <div class="cards">
        <Nodes />
        <Write />
        <Steady />
        <HandOver />
        <KillActor />
      </div>
      <p class="muted">
        See the effect: <a href={hrefOf('cluster')}>cluster</a>,{' '}
        <a href={hrefOf('timeline')}>timeline</a>, <a href={hrefOf('flow')}>lag and flow</a>.
      </p>
    </div>
  )
}

interface CardProps {
  readonly name: string
  readonly title: string
  readonly about: string
  readonly action: string
  readonly isGrave?: boolean
  readonly command: () => PageCommand
  readonly children?: ComponentChildren
}

function Card({ name, title, about, action, isGrave, command, children }: CardProps) {
  const [answer, setAnswer] = useState<CommandAnswer | null>(null)
  const [isWaiting, setWaiting] = useState(false)
  return (
    <form class="card" data-order={name} onSubmit={(event) => {
      event.preventDefault()
      setWaiting(true)
      void sendCommand(command()).then((result) => {
        setAnswer(result)
        setWaiting(false)
      })
    }}>
      <h2>{title}</h2>
      <p class="muted">{about}</p>
      <div class="fields">{children}</div>
      <button type="submit" class={isGrave ? 'grave' : 'main'} disabled={isWaiting}>
        {isWaiting ? 'Waiting…' : action}
      </button>
      <p class={`answer ${answer?.ok === false ? 'bad-text' : ''}`} role="status">
        {answer?.message ?? ''}
      </p>
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
    <label>
      {label}{' '}
      <select value={value} onChange={(event) => onChoose(event.currentTarget.value)}>
        {options.map((one) => <option key={one} value={one}>{names?.[one] ?? one}</option>)}
      </select>
    </label>
  )
}

function useSpace() {
  const ids = state.value.status?.spaces.map(({ id }) => id) ?? []
  const [chosen, setChosen] = useState<string | null>(null)
  const space = chosen ?? ids[0] ?? ''
  const field = <Choose label="Space" value={space} options={ids} onChoose={setChosen} />
  return [space, field] as const
}

function useNode(preferred: string | null) {
  const { status } = state.value
  const nodes = status?.nodes ?? []
  const ids = nodes.map(({ id }) => id)
  const [chosen, setChosen] = useState<string | null>(null)
  const node = chosen ?? preferred ?? ids[0] ?? ''
  const names = Object.fromEntries(
    nodes.map((one) => [one.id, `${one.id}, ${roleText(one, status?.spaces ?? [])}`]),
  )
  const field = (
    <Choose label="Node" value={node} options={ids} names={names} onChoose={setChosen} />
  )
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
      about="One write. The answer comes when it is durable at the primary."
      command={() => ({ type: 'write', space, id, content })}
    >
      {field}
      <label>
        Id{' '}
        <input required maxLength={256} value={id}
          onInput={(event) => setId(event.currentTarget.value)} />
      </label>
      <label>
        Content{' '}
        <input maxLength={2000} value={content}
          onInput={(event) => setContent(event.currentTarget.value)} />
      </label>
    </Card>
  )
}

function Steady() {
  const [space, field] = useSpace()
  const [perSecond, setPerSecond] = useState(100)
  return (
    <Card name="steady" title="Write steadily" action={perSecond === 0 ? 'Stop' : 'Write'}
      about="A writer that runs until it is set to 0."
      command={() => ({ type: 'steady', space, perSecond })}
    >
      {field}
      <label>
        Per second{' '}
        <input type="number" min={0} max={1000} value={perSecond}
          onInput={(event) => setPerSecond(Number(event.currentTarget.value))} />
      </label>
    </Card>
  )
}

/** One row per node. Its buttons stay in place, whatever its state. */
function Nodes() {
  const { status } = state.value
  const [seconds, setSeconds] = useState(4)
  return (
    <section class="card wide" data-order="nodes" aria-labelledby="nodes-title">
      <h2 id="nodes-title">Nodes</h2>
      <p class="muted">
        Kill sends SIGKILL: the node is gone at once and stays down until you start it. Pause sends
        SIGSTOP: the node is only silent, so its lease has to expire before another takes over (2.2
        s).
      </p>
      <div class="fields short">
        <label>
          Pause, seconds{' '}
          <input type="number" min={1} max={60} value={seconds}
            onInput={(event) => setSeconds(Number(event.currentTarget.value))} />
        </label>
      </div>
      <ul class="node-rows">
        {(status?.nodes ?? []).map((node) => (
          <NodeRow key={node.id} node={node} spaces={status?.spaces ?? []} seconds={seconds} />
        ))}
      </ul>
    </section>
  )
}

function NodeRow({ node, spaces, seconds }: {
  readonly node: ClusterNode
  readonly spaces: readonly ClusterSpace[]
  readonly seconds: number
}) {
  const [answer, setAnswer] = useState<CommandAnswer | null>(null)
  const [waiting, setWaiting] = useState<string | null>(null)
  const { id } = node
  const absence = absenceOf(state.value, id)
  const isDown = node.pid === null
  const button = (action: string, command: PageCommand, isGrave: boolean, isOff: boolean) => (
    <button type="button" class={isGrave ? 'grave' : 'main'} data-action={action}
      disabled={waiting !== null || isOff} onClick={() => {
      setWaiting(action)
      void sendCommand(command).then((result) => {
        setAnswer(result)
        setWaiting(null)
      })
    }}>
      {waiting === action ? 'Waiting…' : `${action} ${id}`}
    </button>
  )
  return (
    <li data-try-node={id}>
      <b>{id}</b>
      <span class="is">
        {absence?.isProven || isDown ? 'down or not heard' : roleText(node, spaces)}
      </span>
      <span class="buttons">
        {button('Kill', { type: 'killNode', node: id }, true, isDown)}
        {button('Pause', { type: 'pauseNode', node: id, forMs: seconds * 1_000 }, true, isDown)}
        {button('Start', { type: 'startNode', node: id }, false, !isDown)}
      </span>
      <p class={`answer ${answer?.ok === false ? 'bad-text' : ''}`} role="status">
        {answer?.message ?? ''}
      </p>
    </li>
  )
}

function roleText({ id, state: of }: ClusterNode, spaces: readonly ClusterSpace[]): string {
  const held = spaces.filter(({ primary }) => primary === id).map((space) => space.id)
  if (held.length === 0) return of === 'running' ? 'replica' : of
  const more = held.length > 3 ? ` and ${held.length - 3} more` : ''
  return `primary of ${held.slice(0, 3).join(', ')}${more}`
}

function HandOver() {
  const [space, field] = useSpace()
  const known = state.value.status?.spaces.find(({ id }) => id === space)
  const members = (known?.members ?? []).map(({ node }) => node)
    .filter((node) => node !== known?.primary)
  const [to, setTo] = useState('')
  return (
    <Card name="handOver" title="Hand over" action="Hand over"
      about="A planned change of the primary. No write is lost or refused."
      command={() => ({ type: 'handOver', space, to: to === '' ? null : to })}
    >
      {field}
      <Choose label="To" value={to} options={['', ...members]}
        names={{ '': 'most advanced member' }} onChoose={setTo} />
    </Card>
  )
}

function KillActor() {
  const [node, field] = useNode(primaryNow())
  const actors = [...state.value.nodes.get(node)?.actors.values() ?? []]
    .filter(({ exit, actor, state: value }) =>
      exit === null && value !== null
      && !actor.includes('/')
    )
    .map(({ actor }) => actor).toSorted()
  const [chosen, setChosen] = useState('')
  const first = actors.find((one) => one.endsWith('.primary')) ?? actors[0] ?? ''
  const actor = actors.includes(chosen) ? chosen : first
  return (
    <Card name="killActor" title="Kill an actor" isGrave action="Kill actor"
      about="Kills the actor abruptly. Its supervisor restarts it."
      command={() => ({ type: 'killActor', node, actor })}
    >
      {field}
      <Choose label="Actor" value={actor} options={actors} onChoose={setChosen} />
    </Card>
  )
}
